"""Functions of dates and times, which are strings in the format of RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from dstream.lang.durations import seconds_of
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.scope import Surroundings
from dstream.lang.types import STRING
from dstream.lang.values import Unknown, Value

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_FORMAT = re.compile(r"'(?:[^']|'')*'|([a-zA-Z])\1*|[^a-zA-Z']+|'")


def _parsed(text: str, argument: int) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise FunctionError(f'"{text}" is not an RFC 3339 timestamp, such as 2017-11-22T00:00:00Z', argument)
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    zone = UTC
    if match[8] != "Z":
        sign = -1 if match[8][0] == "-" else 1
        zone = timezone(sign * timedelta(hours=int(match[8][1:3]), minutes=int(match[8][4:6])))
    try:
        return datetime(year, month, day, hour, minute, second, int((match[7] or "").ljust(6, "0")[:6]), zone)
    except ValueError as wrong:
        raise FunctionError(f'"{text}" is not a valid time: {wrong}', argument) from None


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + _zone(time, colon=True, z=True)


def _zone(time: datetime, *, colon: bool, z: bool) -> str:
    minutes = int((time.utcoffset() or timedelta()).total_seconds() // 60)
    if minutes == 0 and z:
        return "Z"
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return f"{sign}{hours:02}{':' if colon else ''}{minutes:02}"


@function(surrounded=True)
def timestamp(surroundings: Surroundings) -> Value:
    """Return the present time; unknown in a plan."""
    return Unknown(STRING, not_null=True) if surroundings.planning else _written(datetime.now(UTC))


@function(surrounded=True)
def plantimestamp(surroundings: Surroundings) -> Value:
    """Return the time of the plan."""
    return surroundings.now() if surroundings.now is not None else _written(datetime.now(UTC))


@function("time: string, duration: string")
def timeadd(time: Value, duration: Value) -> Value:
    """Return a time moved by a duration such as `1h30m` or `-10s`."""
    moment = _parsed(time, 0)
    try:
        seconds = seconds_of(duration)
    except ValueError as wrong:
        raise FunctionError(str(wrong), 1) from None
    try:
        return _written(moment + timedelta(microseconds=int(seconds * 10**6)))
    except OverflowError:
        raise FunctionError("the result is out of range", 1) from None


@function("left: string, right: string")
def timecmp(left: Value, right: Value) -> Value:
    """Return -1, 0 or 1: whether the first time is before, at or after the second."""
    first, second = _parsed(left, 0), _parsed(right, 1)
    return (first > second) - (first < second)


@function("format: string, time: string")
def formatdate(spec: Value, time: Value) -> Value:
    """Return a time in a format, such as `DD MMM YYYY hh:mm ZZZ`."""
    moment = _parsed(time, 1)
    made: list[str] = []
    end = 0
    for match in _FORMAT.finditer(spec):
        end = match.end()
        part = match.group()
        if part == "'":
            raise FunctionError("a quotation mark in the format is not closed", 0)
        if part.startswith("'"):
            made.append(part[1:-1].replace("''", "'") if part != "''" else "'")
        elif match[1]:
            made.append(_verb(part, moment))
        else:
            made.append(part)
    made.append(spec[end:])
    return "".join(made)


def _verb(verb: str, time: datetime) -> str:
    hour12 = (time.hour + 11) % 12 + 1
    values = {
        "YYYY": f"{time.year:04}", "YY": f"{time.year % 100:02}",
        "MMMM": _MONTHS[time.month - 1], "MMM": _MONTHS[time.month - 1][:3], "MM": f"{time.month:02}",
        "M": str(time.month),
        "DD": f"{time.day:02}", "D": str(time.day), "EEEE": _DAYS[time.weekday()], "EEE": _DAYS[time.weekday()][:3],
        "hh": f"{time.hour:02}", "h": str(time.hour), "HH": f"{hour12:02}", "H": str(hour12),
        "AA": "AM" if time.hour < 12 else "PM", "aa": "am" if time.hour < 12 else "pm",
        "mm": f"{time.minute:02}", "m": str(time.minute), "ss": f"{time.second:02}", "s": str(time.second),
        "ZZZZZ": _zone(time, colon=True, z=False), "ZZZZ": _zone(time, colon=False, z=False),
        "ZZZ": "UTC" if not time.utcoffset() else _zone(time, colon=False, z=False),
        "Z": _zone(time, colon=True, z=True),
    }  # fmt: skip
    if verb not in values:
        raise FunctionError(f'a date format has no "{verb}"; enclose literal text in single quotation marks', 0)
    return values[verb]
