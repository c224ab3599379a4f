"""What `run` does before its first session when a server is down: it tries again, as it does later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity
from dstream.stopping import Stop

T = TypeVar("T")
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


def when_reachable(
    prepare: Callable[[], T], stop: Stop, waiting: Callable[[tuple[Diagnostic, ...], float], None]
) -> T | None:
    """Return what `prepare` returns, tried again while it fails for transient reasons alone; None once stopped.

    `waiting(errors, seconds)` is called before each pause. Raises DiagnosticsError for any other failure.
    """
    delay = FIRST_DELAY
    while True:
        try:
            return prepare()
        except DiagnosticsError as problem:
            errors = tuple(each for each in problem.diagnostics if each.severity is Severity.ERROR)
            if not errors or not all(each.transient for each in errors):
                raise
        waiting(errors, delay)
        if stop.wait(delay):
            return None
        delay = min(delay * 2, LONGEST_DELAY)
