"""Waiting for something to happen, never for a time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 120.0
"""Seconds until a wait fails: far more than anything takes, also on a busy machine."""


def until(condition: Callable[[], Found], what: str | Callable[[], str], patience: float = PATIENCE) -> Found:
    """Poll `condition` until it is true, and return what it gave.

    Raises AssertionError, which names `what`, after `patience` seconds. Where `what` is a function, it is called then.
    A condition that cannot become true any more, because a process has ended, raises its own error."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {patience:g} seconds for {what if isinstance(what, str) else what()}"
        time.sleep(0.02)
    return found
