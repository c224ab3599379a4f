"""Reader threads: a fixed number of daemon threads.

They do not keep the process alive, so a stopping session does not wait for a server that does not respond. Pages in
flight are dropped, and the next session reads them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class ReaderThreads:
    """A fixed number of daemon threads that run jobs from one queue."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        for number in range(count):
            threading.Thread(target=self._work, name=f"reader-{number}", daemon=True).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job, which must not raise."""
        self._jobs.put(job)

    def close(self) -> None:
        """End each thread after its current job."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
