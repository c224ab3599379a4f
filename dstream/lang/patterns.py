"""Patterns: regular expressions from a configuration or a provider's schema, matched by RE2.

RE2 takes time linear in the text, whatever the pattern, and has the syntax of Go's regular expressions, which is that
of Terraform's functions: no lookaround, no back-references, `$` is the end of the text, and the leftmost match wins.
The library is imported with the first pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

_MAX_MEMORY = 64 << 20
"""Bytes that a compiled pattern may take: RE2's own limit, 8 MiB, rejects patterns that Go compiles."""


class PatternError(Exception):
    """A pattern is not a regular expression; the text says why, without a full stop."""


class Match(Protocol):
    """A match, as in Python's `re`."""

    def start(self) -> int:
        """Return where the match starts."""

    def end(self) -> int:
        """Return where the match ends."""

    def group(self) -> str:
        """Return the text that matched."""

    def groups(self) -> tuple[str | None, ...]:
        """Return the text of each group; None for a group that took no part in the match."""

    def __getitem__(self, group: int | str) -> str | None:
        """Return the text of a group; raise IndexError if the pattern has no such group."""


class Pattern(Protocol):
    """A compiled pattern, as in Python's `re`."""

    @property
    def groups(self) -> int:
        """The number of groups."""

    @property
    def groupindex(self) -> Mapping[str, int]:
        """The number of each group that has a name."""

    def search(self, text: str) -> Match | None:
        """Return the first match anywhere in the text."""

    def fullmatch(self, text: str) -> Match | None:
        """Return the match of the whole text."""

    def finditer(self, text: str) -> Iterator[Match]:
        """Yield the matches from left to right."""


def compile_pattern(pattern: str) -> Pattern:
    """Return the compiled pattern; raise PatternError, also for a value that is not a string."""
    if not isinstance(pattern, str):
        raise PatternError(f"{pattern!r} is not a string")
    return _compiled(pattern)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern:
    import re2

    if _has_byte_class(pattern):
        raise PatternError(r"invalid escape sequence: \C")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return cast("Pattern", re2.compile(pattern, options))
    except re2.error as wrong:
        reason: Any = wrong.args[0]
        raise PatternError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None
    except UnicodeEncodeError:
        raise PatternError("it has half of a surrogate pair") from None


def find_all(pattern: Pattern, text: str) -> Iterator[Match]:
    """Yield the matches from left to right; as in Go, an empty match directly after another match is left out."""
    end = -1
    for match in pattern.finditer(text):
        if match.end() > match.start() or match.start() != end:
            yield match
        end = match.end()


def _has_byte_class(pattern: str) -> bool:
    r"""Return whether the pattern has `\C`, a single byte, which RE2 accepts and Go does not."""
    at = pattern.find("\\")
    while at >= 0:
        escape = pattern[at + 1 : at + 2]
        if escape == "C":
            return True
        at = pattern.find("\\E", at) if escape == "Q" else at
        at = pattern.find("\\", at + 2) if at >= 0 else -1
    return False
