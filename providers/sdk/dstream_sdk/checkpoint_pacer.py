"""Checkpoint pacer: writes checkpoints soon after data and rarely without data, also while the input waits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk.errors import HostGone

Position = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class CheckpointPacer:
    """Holds the newest position of an input, and writes it when it is due, from its own thread if necessary.

    A position is due `interval` seconds after the last checkpoint if data was emitted since that checkpoint, and
    `heartbeat` seconds after it otherwise. A position is written only right after the data it covers: one that more
    data followed is dropped, since the position after that data replaces it.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], None]) -> None:
        """Write checkpoints by `write`."""
        self.interval, self.heartbeat = 0.2, 10.0
        self._write = write
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asleep_until = 0.0
        """Until when the thread sleeps: it is to be woken for what is due before."""
        self._pending: Position | None = None
        self._has_data = False
        self._written_at = time.monotonic()
        self._last: Mapping[str, Any] | None = None
        self._failure: Exception | None = None

    def before_data(self) -> None:
        """Write the pending position if it is due, otherwise drop it. Called before data is emitted."""
        with self._changed:
            self._raise_failure()
            if self._pending is not None and time.monotonic() >= self._due():
                self._write_pending()
            self._pending = None
            self._has_data = True

    def advance(self, position: Position) -> None:
        """Take the position up to which everything has been emitted; write it now if it is due."""
        with self._changed:
            self._raise_failure()
            self._pending = position
            if time.monotonic() >= self._due():
                self._write_pending()
            elif self._thread is None:
                self._thread = threading.Thread(target=self._keep_time, name="checkpoints", daemon=True)
                self._thread.start()
            elif self._due() < self._asleep_until:
                self._changed.notify()

    def write(self, position: Mapping[str, Any]) -> None:
        """Write `position` now."""
        with self._changed:
            self._raise_failure()
            self._pending = position
            self._last = None
            self._write_pending()

    def finish(self) -> None:
        """Write the pending position, due or not. Called at the end of the session."""
        with self._changed:
            self._raise_failure()
            if self._pending is not None:
                self._write_pending()

    def _due(self) -> float:
        return self._written_at + (self.interval if self._has_data else self.heartbeat)

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, None
        position = pending() if callable(pending) else pending
        self._written_at = time.monotonic()
        if position is not None and (self._has_data or position != self._last):
            self._write(position)
            self._last = position
        self._has_data = False

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _keep_time(self) -> None:
        """Write a pending position when it becomes due and the input is waiting for something."""
        with self._changed:
            while self._failure is None:
                due = self._due() if self._pending is not None else math.inf
                left = due - time.monotonic()
                if left > 0:
                    self._asleep_until = due
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    self._asleep_until = 0.0
                    continue
                try:
                    self._write_pending()
                except HostGone:
                    return  # the reader of the host's lines notices as well, and stops the session
                except Exception as problem:  # noqa: BLE001 - raised in the thread that runs the input
                    self._failure = problem
