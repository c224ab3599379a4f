"""Time: the wall clock for people, and a clock for deadlines that continues while the machine sleeps."""

from __future__ import annotations

import time


def boot_seconds() -> float:
    """Return seconds on a clock that never jumps and counts suspend; only differences mean something.

    CLOCK_MONOTONIC stands still while a laptop sleeps, a lease does not: a deadline on it would be believed
    for too long.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def now() -> str:
    """Return the wall clock as text, `2026-01-31T23:59:59Z`, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
