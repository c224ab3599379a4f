"""Regular expressions in the syntax of RE2, which Terraform's functions take, run by Python's `re`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dstream.lang.functions.registry import FunctionError
from dstream.lang.values import Value


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern for Python's re; raise FunctionError for what is not RE2."""
    from dstream.lang.functions.re2 import PatternError, translated

    try:
        return re.compile(translated(pattern))
    except (PatternError, re.error, OverflowError, RecursionError) as wrong:
        raise FunctionError(f"the pattern is no regular expression: {wrong}", 0) from None


def found(pattern: str, text: str) -> Iterator[re.Match[str]]:
    """Yield the matches from left to right: as in RE2, none that is empty right behind another one."""
    end = -1
    for match in compiled(pattern).finditer(text):
        if match.end() > match.start() or match.start() != end:
            yield match
        end = match.end()


def captured(match: re.Match[str]) -> Value:
    """Return a match as `regex` does."""
    names = match.re.groupindex
    if names and len(names) < match.re.groups:
        raise FunctionError("the groups of the pattern must either all have names, or none", 0)
    if names:
        return {name: match[name] for name in sorted(names)}
    return list(match.groups()) if match.re.groups else match.group()


_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


def expanded(replacement: str, match: re.Match[str]) -> str:
    """Return a replacement with `$1`, `${1}` and `$name` replaced by groups."""

    def group(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name: Any = found[2] or found[3]
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, replacement)
