"""Patience: repeats at start-up what the table of errors calls transient, as a running session does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dstream_mssql.errors import number_of
from dstream_sdk import RetriableError, log

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
T = TypeVar("T")


def patiently(work: Callable[[], T], limit: float, wait: Callable[[float], bool], *, unreachable: bool) -> T:
    """Do `work`, again for up to `limit` seconds while its error is transient. `wait` sleeps; True ends the attempts.

    A server that cannot be reached is tried again only if `unreachable`: at a first start it may not exist. Raises what
    `work` raised last.
    """
    end, pause = time.monotonic() + limit, FIRST_PAUSE
    while True:
        try:
            return work()
        except RetriableError as problem:
            if not (number_of(problem) or unreachable) or time.monotonic() >= end:
                raise
            log(f"{problem}; retrying")
            if wait(min(pause, max(0.0, end - time.monotonic()))):
                raise
            pause = min(pause * 2, LONGEST_PAUSE)
