"""Sizes: numbers of bytes in units that people read."""

from __future__ import annotations


def size(count: float, smallest: str = "B") -> str:
    """Return a number of bytes in a unit that suits it; `smallest` is the word for bytes."""
    for unit in (smallest, "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == smallest else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
