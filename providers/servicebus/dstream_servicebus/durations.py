"""Durations: what users write ("30s", "14d", "PT1M"), what state shows ("1m"), what the service speaks (ISO)."""

from __future__ import annotations

import re
from datetime import timedelta

UNLIMITED = "unlimited"
FOREVER = "P10675199DT2H48M5.4775807S"
"""How the service says unlimited: the longest time that .NET has."""
_FOREVER_DAYS = 10_675_199
_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))
_SHORT = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?")
_ISO = re.compile(r"P(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?")


def seconds(text: str) -> float:
    """Return the seconds of a duration, infinity for unlimited. Raises ValueError."""
    text = text.strip()
    if text in (UNLIMITED, FOREVER):
        return float("inf")
    match = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 5m, 1h30m or 14d, or {UNLIMITED}")
    total = sum(float(part or 0) * unit for part, (_, unit) in zip(match.groups(), _UNITS, strict=True))
    return float("inf") if total >= _FOREVER_DAYS * 86400 else total


def short(text: str) -> str:
    """Return a duration in the one way in which plan and state show it."""
    return of_seconds(seconds(text))


def of_seconds(left: float) -> str:
    """Return so many seconds as plan and state show them."""
    if left == float("inf"):
        return UNLIMITED
    out = ""
    for letter, unit in _UNITS[:-1]:
        whole, left = divmod(left, unit)
        out += f"{int(whole)}{letter}" if whole else ""
    return out + (f"{left:g}s" if left or not out else "")


def of_service(value: object) -> str:
    """Return what the client library read, as plan and state show it."""
    if isinstance(value, timedelta):
        total = value.total_seconds()
        return of_seconds(float("inf") if total >= _FOREVER_DAYS * 86400 else total)
    return short(str(value))


def iso(text: str) -> str:
    """Return a duration as the service takes it, in the form in which it gives it back (PT2M, not PT120S)."""
    left = seconds(text)
    if left == float("inf"):
        return FOREVER
    date, time = "", ""
    for letter, unit in _UNITS[:-1]:
        whole, left = divmod(left, unit)
        if whole and letter == "d":
            date = f"{int(whole)}D"
        elif whole:
            time += f"{int(whole)}{letter.upper()}"
    if left or not (date or time):
        time += f"{left:g}S"
    return f"P{date}T{time}" if time else f"P{date}"
