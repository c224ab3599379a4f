"""Retries of transient errors at start-up; a running session has its own (`follower.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from dstream_mssql.errors import number_of
from dstream_sdk import RetriableError, log

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
T = TypeVar("T")


def retry_transient(work: Callable[[], T], limit: float, wait: Callable[[float], bool], *, unreachable: bool) -> T:
    """Call `work`, and retry it for up to `limit` seconds while its error is transient.

    `wait` sleeps between attempts, and returns True to give up. An unreachable server is retried only with
    `unreachable`: on the first start it may not exist. Raises the last error of `work`.
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
