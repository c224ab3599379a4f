"""Durations as users write them: `500ms`, `30s`, `1h30m`, `14d`.

A setting of type `Duration` accepts such a text and is a float: the number of seconds. It keeps the text it was
written as, for messages and schemas.
"""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d)")
_SHOWN = (("d", 86400.0), ("h", 3600.0), ("m", 60.0))
_LARGE_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0))


class Duration(float):
    """A number of seconds that is written with units; `str` gives the text it was written as."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Duration:
        """Parse `text`. Raises ValueError."""
        made = super().__new__(cls, parse_duration(text))
        made.text = text.strip()
        return made

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"Duration({self.text!r})"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration: numbers with units, largest unit first or not. Raises ValueError."""
    stripped = text.strip()
    parts = list(_PART.finditer(stripped))
    if not parts or "".join(part[0] for part in parts) != stripped:
        raise ValueError(
            f'"{text}" is not a duration; write numbers with units, such as "500ms", "30s", "1h30m" or "3d"'
        )
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)


def format_duration(seconds: float) -> str:
    """Return `seconds` in the canonical form, each unit at most once: `1h30m`, `14d`, `0.5s`, `0s`."""
    out = ""
    for unit, size in _SHOWN:
        count, seconds = divmod(seconds, size)
        out += f"{int(count)}{unit}" if count else ""
    return out + (f"{seconds:g}s" if seconds or not out else "")


def describe_duration(seconds: float) -> str:
    """Return `seconds` rounded, for a sentence: `45 seconds`, `2.5 hours`, `12 days`."""
    for unit, size in _LARGE_UNITS:
        if seconds >= size * 2:
            return f"{seconds / size:.0f} {unit}" if seconds >= size * 10 else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
