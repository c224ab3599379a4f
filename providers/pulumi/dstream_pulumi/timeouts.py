"""Timeouts: `custom_timeouts` of a program's resource as seconds.

Durations are read as Pulumi's engine reads them, which is Go's way: `1h30m`, and no days.
"""

from __future__ import annotations

import re
from typing import Any

NAMES = ("create", "read", "update", "delete")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 365 * 24 * 3600.0


def seconds_of(message: Any) -> dict[str, float]:
    """Return the seconds by name that a message CustomTimeouts gives; raise ValueError, which says what is wrong."""
    texts = {name: str(getattr(message, name, "")) for name in NAMES}
    return {name: _seconds(name, text) for name, text in texts.items() if text}


def _seconds(name: str, text: str) -> float:
    parts = list(_PART.finditer(text))
    if "".join(part[0] for part in parts) != text:
        raise ValueError(f'{name} is "{text}", which is no duration: write 45s, 30m or 1h30m (24h, not 1d)')
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f'{name} is "{text}", and it is more than 0 and 8760h (a year) at most')
    return seconds
