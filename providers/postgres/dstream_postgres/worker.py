"""Worker: a thread that takes batches in turn, so that reading the next one overlaps with the database's work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

_WAITING = 2
"""The maximum number of waiting batches: what has been read and not applied is held in memory."""


class Worker:
    """Calls `work` with each batch, in order, in a thread of its own.

    After an error it takes no more: the error is raised by the next `put` or `wait`.
    """

    def __init__(self, work: Callable[[Any], None]) -> None:
        self._work = work
        self._queue: Queue[Any] = Queue(_WAITING)
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="applier", daemon=True)
        self._thread.start()

    def put(self, batch: Any) -> None:
        """Hand over a batch; waits while several are waiting. Raises what an earlier one has raised."""
        self._raise()
        self._queue.put(batch)

    def wait(self) -> None:
        """Wait until everything handed over is done. Raises what one of the batches has raised."""
        self._queue.join()
        self._raise()

    def close(self) -> None:
        """End the thread; what is waiting is dropped."""
        self._problem = self._problem or RuntimeError("closed")
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            if self._problem is None:
                try:
                    self._work(batch)
                except BaseException as problem:  # noqa: BLE001 - raised again where it is waited for
                    self._problem = problem
            self._queue.task_done()

    def _raise(self) -> None:
        if self._problem is not None:
            raise self._problem
