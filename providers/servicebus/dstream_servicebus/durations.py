"""Durations of Service Bus, in the form of the configuration, of the state, and of the service (ISO 8601).

In addition to the SDK's durations there is "unlimited".
"""

from __future__ import annotations

import re
from datetime import timedelta

from dstream_sdk.durations import format_duration, parse_duration

UNLIMITED = "unlimited"
FOREVER = "P10675199DT2H48M5.4775807S"
"""The service's value for unlimited: the longest duration of .NET."""
_FOREVER_SECONDS = 10_675_199 * 86400
_ISO_UNITS = (("D", 86400.0), ("H", 3600.0), ("M", 60.0), ("S", 1.0))
_ISO = re.compile(r"P(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?")


def seconds(text: str) -> float:
    """Parse a duration to seconds, infinity for unlimited. Raises ValueError."""
    text = text.strip()
    if text in (UNLIMITED, FOREVER):
        return float("inf")
    match = _ISO.fullmatch(text)
    if match is not None and any(match.groups()):
        total = sum(float(part or 0) * unit for part, (_, unit) in zip(match.groups(), _ISO_UNITS, strict=True))
    else:
        try:
            total = parse_duration(text)
        except ValueError as problem:
            raise ValueError(f"{problem}, or {UNLIMITED}") from None
    return float("inf") if total >= _FOREVER_SECONDS else total


def short(text: str) -> str:
    """Return a duration in the form of plan and state: `1h30m`, `14d`, `unlimited`. Raises ValueError."""
    return of_seconds(seconds(text))


def of_seconds(total: float) -> str:
    """Return seconds in the form of plan and state."""
    return UNLIMITED if total == float("inf") else format_duration(total)


def of_service(value: object) -> str:
    """Return a value of the client library in the form of plan and state."""
    if isinstance(value, timedelta):
        total = value.total_seconds()
        return of_seconds(float("inf") if total >= _FOREVER_SECONDS else total)
    return short(str(value))


def iso(text: str) -> str:
    """Return a duration in the service's form (PT2M, not PT120S). Raises ValueError."""
    left = seconds(text)
    if left == float("inf"):
        return FOREVER
    date, time = "", ""
    for letter, unit in _ISO_UNITS[:-1]:
        count, left = divmod(left, unit)
        if count and letter == "D":
            date = f"{int(count)}D"
        elif count:
            time += f"{int(count)}{letter}"
    if left or not (date or time):
        time += f"{left:g}S"
    return f"P{date}T{time}" if time else f"P{date}"
