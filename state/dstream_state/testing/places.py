"""Place.

The description of a backend under test, and the one for every backend over a `Storage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dstream_state.backend import Backend, Held, TaskLease
from dstream_state.backend_impl import StoredBackend
from dstream_state.clock import boot_seconds
from dstream_state.journal import MAX_BLOCKS
from dstream_state.sealing import Sealer
from dstream_state.state_lock import StoredHeld
from dstream_state.storage import Storage
from dstream_state.task_store import StoredTaskLease

LONGER_THAN_A_LEASE = 61.0
"""Seconds after which a lease that is not renewed has ended."""


class Place(Protocol):
    """One empty place for state, fresh for each test."""

    leased: bool
    """Whether locks end by time (True), or with the process that holds them (False)."""

    def open(
        self,
        workspace: str = "default",
        *,
        frozen: bool = False,
        max_blocks: int = MAX_BLOCKS,
        sealer: Sealer | None = None,
    ) -> Backend:
        """Return a new client of this place, as another process would have it.

        A `frozen` client's own clock stands still: it never notices that its lease has ended. That makes a
        zombie. With `max_blocks`, a journal is continued in another log after so many writes (where that
        exists).
        """

    def pass_time(self, seconds: float) -> None:
        """Put the service's clock forward. Not called unless `leased`."""

    def kill(self, lock: Held | TaskLease) -> None:
        """Leave `lock` as a killed process leaves it: not given back, not renewed any more."""


class StoragePlace:
    """`Place` for backends over a `Storage`."""

    def __init__(
        self,
        storage: Callable[[], Storage],
        *,
        leased: bool,
        pass_time: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Take a function that returns a new client of the same place each time."""
        self.leased, self._storage, self._pass_time = leased, storage, pass_time

    def storage(self) -> Storage:
        """Return a new client."""
        return self._storage()

    def open(
        self,
        workspace: str = "default",
        *,
        frozen: bool = False,
        max_blocks: int = MAX_BLOCKS,
        sealer: Sealer | None = None,
    ) -> Backend:
        """See `Place`."""
        storage = self._storage()
        if workspace != "default":
            storage = storage.at(workspace)
        clock = (lambda: 0.0) if frozen else boot_seconds
        return StoredBackend(storage, workspace, sealer, clock=clock, max_blocks=max_blocks)

    def pass_time(self, seconds: float) -> None:
        """See `Place`."""
        self._pass_time(seconds)

    def kill(self, lock: Held | TaskLease) -> None:
        """See `Place`."""
        assert isinstance(lock, StoredHeld | StoredTaskLease)  # noqa: S101 - part of a test kit
        lease: Any = lock._lease
        lease._stop.set()
        if not self.leased:
            lease._storage.release(lease._cell, lease.id)
