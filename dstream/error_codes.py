"""Error codes: a stable number for each kind of problem, found by the constant summary of a diagnostic.

The table is `error_codes.txt` beside this file. It is read when the first error is shown, never at start-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from msgspec import Struct

FROM_PROVIDER = "DS5000"
"""The code of problems that a provider reports in its own words."""

RETIRED = "(retired)"


class ErrorCode(Struct, frozen=True):
    """One kind of problem: its code, summary, meaning and group."""

    code: str
    summary: str
    meaning: str
    group: str

    @property
    def retired(self) -> bool:
        """Whether the code is no longer reported."""
        return self.summary == RETIRED


@cache
def catalogue() -> tuple[ErrorCode, ...]:
    """Return every code, in the order of the table."""
    import pkgutil  # slow to import, and needed only when a diagnostic is shown

    text = pkgutil.get_data("dstream", "error_codes.txt")
    assert text is not None  # noqa: S101 - a part of this package
    return tuple(_entries(text.decode()))


def _entries(text: str) -> Iterator[ErrorCode]:
    group = ""
    for line in text.splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif line.startswith("DS"):
            code, summary, meaning = (part.strip() for part in line.split(" | "))
            yield ErrorCode(code, summary, meaning, group)


@cache
def _codes() -> dict[str, str]:
    return {each.summary: each.code for each in catalogue() if not each.retired}


def code_of(summary: str) -> str | None:
    """Return the code of a summary; None for a text that is not in the table."""
    return _codes().get(summary)


def explain(code: str) -> ErrorCode | None:
    """Return the entry of a code, None if it does not exist. Case and brackets are ignored."""
    normalized = code.strip("[] ").upper()
    return next((each for each in catalogue() if each.code == normalized), None)
