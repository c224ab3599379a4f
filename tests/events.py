"""Waiting for something to happen, never for a time to pass."""

import time
from collections.abc import Callable
from subprocess import Popen
from typing import Any, TypeVar

Found = TypeVar("Found")

PATIENCE = 120.0
"""Seconds until a wait fails: far more than anything takes, also on a busy machine."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between two looks."""


def until(
    condition: Callable[[], Found],
    what: str | Callable[[], str],
    patience: float = PATIENCE,
    process: Popen[Any] | None = None,
) -> Found:
    """Poll `condition` until it is true, and return what it gave. The pauses grow, since polling takes processor time.

    Raises AssertionError, which names `what`, after `patience` seconds, or when `process` has ended and the condition
    is still false. Where `what` is a function, it is called only then."""
    end = time.monotonic() + patience
    pause = FIRST_PAUSE
    while True:
        ended = process is not None and process.poll() is not None
        if found := condition():
            return found
        if ended or time.monotonic() > end:
            why = "its process has ended" if ended else f"waited {patience:g} seconds"
            raise AssertionError(f"{why}: {what if isinstance(what, str) else what()}")
        time.sleep(pause)
        pause = min(pause * 1.1, LONGEST_PAUSE)
