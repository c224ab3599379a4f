"""Durations as text: `1h30m`, `45s`, `500ms`, in the syntax of Go and Terraform."""

from __future__ import annotations

import re
from fractions import Fraction

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}


def seconds_of(text: str) -> Fraction:
    """Return the seconds of a duration, negative after a minus sign; raise ValueError if it is malformed."""
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return Fraction(0)
    parts = list(_PART.finditer(body))
    if not body or "".join(part[0] for part in parts) != body:
        raise ValueError(f'"{text}" is not a duration, such as 1h30m, 10s or 500ms')
    total = sum((Fraction(part[1].rstrip(".")) * _SECONDS[part[2]] for part in parts), Fraction(0))
    return -total if text.startswith("-") else total


def duration_text(seconds: float) -> str:
    """Return seconds as a duration: `1h30m`, `10s`, `0.5s`."""
    truncated = int(seconds)
    if truncated != seconds:
        return f"{seconds:g}s"
    found = ((truncated // 3600, "h"), (truncated % 3600 // 60, "m"), (truncated % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in found if count) or "0s"
