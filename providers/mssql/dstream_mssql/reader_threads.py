"""Threads that read: so many, and none that keeps the process alive.

A session that is to stop does not wait for a server that does not answer: what is on its way then is not emitted, and
read again by the next session.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Threads:
    """A fixed number of daemon threads, each doing one job after the other."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        for number in range(count):
            threading.Thread(target=self._work, name=f"reader-{number}", daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done. It must not raise."""
        self._jobs.put(job)

    def close(self) -> None:
        """Let each thread end after what it is doing."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
