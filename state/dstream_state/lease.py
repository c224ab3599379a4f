"""Lease: ownership of a cell for a limited time, its renewal, and the notice of its loss.

The deadline is the moment *before* the last acquire or renew that succeeded, plus the lease's length, minus a
margin; on a clock that counts suspend. Before it, no other process can own the cell; after it, this process considers
the lease lost.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from dstream_state.clock import boot_seconds
from dstream_state.errors import LeaseLost, StateError, StateLocked
from dstream_state.holder import Holder, unreleased
from dstream_state.storage import Busy, NotOwner, Storage

MARGIN = 15.0
RENEW_EVERY = 15.0
Clock = Callable[[], float]
OnWait = Callable[[Holder | None], None]


class ReleasedOnExit(ABC):
    """A context manager that releases what it holds when its block ends."""

    @abstractmethod
    def release(self) -> None:
        """Release it. Later calls do nothing."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it, whether the block failed or not."""
        self.release()


class Lease:
    """The lease on one cell, renewed by a thread of its own until `release` (no thread where leases do not end)."""

    def __init__(self, storage: Storage, cell: str, clock: Clock = boot_seconds) -> None:
        """Take nothing yet."""
        self.id = str(uuid.uuid4())
        self._storage, self._cell, self._clock = storage, cell, clock
        self._deadline = float("inf")
        self._lost: str | None = None
        self._released = False
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._stop = threading.Event()
        length = storage.lease_seconds
        self._margin = 0.0 if length is None else min(MARGIN, length / 4)
        self._every = RENEW_EVERY if length is None else min(RENEW_EVERY, length / 4)

    def acquire(self, timeout: float, on_busy: Callable[[], None]) -> None:
        """Take the lease. If another owner has it, call `on_busy` once and retry for `timeout` seconds.

        Raises Busy.
        """
        until: float | None = None
        pause, reported = 0.05, False
        while True:
            started = self._clock()
            try:
                self._storage.acquire(self._cell, self.id)
                break
            except Busy:
                until = time.monotonic() + timeout if until is None else until
                left = until - time.monotonic()
                if left <= 0:
                    raise
                if not reported:
                    reported = True
                    on_busy()
                time.sleep(min(pause, max(left, 0.0)))
                pause = min(pause * 1.6, 2.0)
        self._extend(started)
        if self._storage.lease_seconds is not None:
            self._watch()

    def acquire_or_refuse(
        self,
        timeout: float,
        last_holder: Callable[[], Holder | None],
        on_wait: OnWait | None,
        what: str = "The state",
        hint: str | None = None,
    ) -> None:
        """Take the lease like `acquire`, and pass the current holder to `on_wait` before the first retry.

        Raises StateLocked, which names the current holder of `what`.
        """

        def on_busy() -> None:
            if on_wait is not None:
                on_wait(unreleased(last_holder()))

        try:
            self.acquire(timeout, on_busy)
        except Busy:
            raise StateLocked(unreleased(last_holder()), what, hint) from None

    def ensure(self) -> None:
        """Raise LeaseLost unless this process certainly holds the cell."""
        if self._lost is None and self._clock() > self._deadline:
            self._lose("It could not be renewed in time (the process was suspended, or the network was down)")
        if self._lost is not None:
            raise LeaseLost(
                f"{self._lost}. This process makes no further changes. What it did is in the journal, and the next "
                "operation picks it up."
            )
        if self._released:
            raise LeaseLost("It was already released.")

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the lease is lost, or immediately if it already is."""
        with self._lock:
            self._callbacks.append(callback)
            lost = self._lost is not None
        if lost:
            callback()

    def renew(self) -> None:
        """Renew now. Raises StateError if the service does not answer. After a refusal the lease is lost."""
        started = self._clock()
        try:
            self._storage.renew(self._cell, self.id)
        except NotOwner:
            self._lose("Another process took it over")
        else:
            self._extend(started)

    def release(self) -> None:
        """Release the lease. Later calls do nothing."""
        if self._released:
            return
        self._released = True
        self._stop.set()
        with contextlib.suppress(StateError):  # The lease then expires.
            self._storage.release(self._cell, self.id)

    def check(self) -> None:
        """Ask the service whether the lease is still held.

        Raise LeaseLost if not, StateUnavailable if it is silent.
        """
        self.renew()
        self.ensure()

    def lost_elsewhere(self) -> None:
        """Record that a write was refused because another process holds the lease."""
        self._lose("Another process took it over")

    def _extend(self, started: float) -> None:
        length = self._storage.lease_seconds
        if length is not None:
            self._deadline = started + length - self._margin

    def _watch(self) -> None:
        threading.Thread(target=self._keep, name=f"lease {self._cell}", daemon=True).start()

    def _keep(self) -> None:
        due = self._clock() + self._every
        while not self._stop.wait(min(1.0, self._every)):
            if self._lost is not None:
                return
            if self._clock() > self._deadline:
                self._lose("It could not be renewed in time (the process was suspended, or the network was down)")
                return
            if self._clock() >= due:
                with contextlib.suppress(StateError):  # Tried again a second later, until the deadline.
                    self.renew()
                    due = self._clock() + self._every

    def _lose(self, why: str) -> None:
        with self._lock:
            if self._lost is not None or self._released:
                return
            self._lost = why
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()
