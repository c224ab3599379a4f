"""Timeouts: `custom_timeouts` of a program's resource in seconds.

Durations have the syntax of Go, as in Pulumi's engine: `1h30m`, without days.
"""

from __future__ import annotations

from typing import Any

from dstream_sdk.durations import parse_duration

NAMES = ("create", "read", "update", "delete")
_LONGEST = 365 * 24 * 3600.0


def seconds_of(message: Any) -> dict[str, float]:
    """Return the seconds of a CustomTimeouts message by name. Raises ValueError."""
    texts = {name: str(getattr(message, name, "")) for name in NAMES}
    return {name: _seconds(name, text) for name, text in texts.items() if text}


def _seconds(name: str, text: str) -> float:
    try:
        if "d" in text or text != text.strip():
            raise ValueError
        seconds = parse_duration(text)
    except ValueError:
        raise ValueError(
            f'{name} is "{text}", which is not a duration: write 45s, 30m or 1h30m (24h, not 1d)'
        ) from None
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f'{name} is "{text}"; it must be more than 0 and at most 8760h (a year)')
    return seconds
