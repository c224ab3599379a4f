"""Workers: the threads that handle the requests of a session: one for each concurrent request, up to a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from dstream_sdk.errors import HostGone

MAX_IN_FLIGHT = 16
"""The maximum number of outstanding requests."""


class Workers:
    """Threads that call `answer` with one request after the other, and end when the host has closed the pipe."""

    def __init__(self, answer: Callable[[dict[str, Any]], None]) -> None:
        """Start no thread yet."""
        self._answer = answer
        self._queue: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> bool:
        """Whether a request waits for a thread."""
        return not self._queue.empty()

    def add(self, request: dict[str, Any], outstanding: int = MAX_IN_FLIGHT) -> None:
        """Queue a request. `outstanding` requests are the upper limit of useful threads."""
        if len(self._threads) < min(outstanding, MAX_IN_FLIGHT):
            self._threads.append(threading.Thread(target=self._work, name=f"worker-{len(self._threads)}", daemon=True))
            self._threads[-1].start()
        self._queue.put(request)

    def finish(self) -> None:
        """Wait until all requests are answered."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                self._answer(request)
            except HostGone:
                return
