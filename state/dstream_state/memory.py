"""Storage in memory: for tests, and the shortest statement of what `Storage` means.

Leases end by a clock that the test moves; every method is one atomic step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from dstream_state.clock import boot_seconds
from dstream_state.storage import Busy, CannotSeal, Changed, Exists, Item, Missing, NotOwner, Refused, Stored


class _Cell(Struct):
    content: bytes = b""
    meta: dict[str, str] = field(default_factory=dict)
    version: int = 0
    lease: str | None = None
    ends: float = 0


class _Log(Struct):
    content: bytes
    sealed: bool = False


class MemoryPlace:
    """All workspaces of one place in memory; it lives as long as a reference to it."""

    def __init__(
        self, *, lease_seconds: float | None = 60, can_seal: bool = True, clock: Callable[[], float] = boot_seconds
    ) -> None:
        """Make an empty place; `clock` decides when leases end."""
        self.lease_seconds, self.can_seal, self.clock = lease_seconds, can_seal, clock
        self.lock = threading.RLock()
        self.storages: dict[str, MemoryStorage] = {}

    def storage(self, workspace: str = "default") -> MemoryStorage:
        """Return the storage of a workspace."""
        with self.lock:
            if workspace not in self.storages:
                self.storages[workspace] = MemoryStorage(self, workspace)
            return self.storages[workspace]


class MemoryStorage:
    """`Storage`, see there for every method."""

    def __init__(self, place: MemoryPlace, workspace: str) -> None:
        """Use `MemoryPlace.storage`."""
        self.lease_seconds = place.lease_seconds
        self._place, self._workspace, self._lock = place, workspace, place.lock
        self._cells: dict[str, _Cell] = {}
        self._logs: dict[str, _Log] = {}
        self._files: dict[str, bytes] = {}

    def describe(self) -> str:
        """See `Storage`."""
        return "state in memory"

    def warnings(self) -> list[str]:
        """See `Storage`."""
        return []

    def prepare(self) -> None:
        """See `Storage`."""

    def close(self) -> None:
        """See `Storage`."""

    def at(self, workspace: str) -> MemoryStorage:
        """See `Storage`."""
        return self._place.storage(workspace)

    def workspaces(self) -> list[str]:
        """See `Storage`."""
        with self._lock:
            return sorted(n for n, s in self._place.storages.items() if n != "default" and s._cells)

    def read(self, name: str) -> Stored:
        """See `Storage`."""
        with self._lock:
            cell = self._cell(name)
            return Stored(cell.content, dict(cell.meta), str(cell.version))

    def read_meta(self, name: str) -> Stored:
        """See `Storage`."""
        with self._lock:
            cell = self._cell(name)
            return Stored(b"", dict(cell.meta), str(cell.version))

    def acquire(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._lock:
            cell = self._cells.setdefault(name, _Cell())
            if cell.lease not in (None, lease) and self._valid(cell):
                raise Busy
            cell.lease, cell.ends = lease, self._end()

    def renew(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._lock:
            self._owned(name, lease).ends = self._end()

    def release(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._lock:
            cell = self._cells.get(name)
            if cell is not None and cell.lease == lease:
                cell.lease = None

    def break_lease(self, name: str) -> None:
        """See `Storage`."""
        with self._lock:
            self._cell(name).lease = None

    def inherit_fds(self, _name: str, _lease: str) -> tuple[int, ...]:
        """See `Storage`."""
        return ()

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        with self._lock:
            cell = self._owned(name, lease)
            if str(cell.version) != tag:
                raise Changed
            cell.content, cell.meta, cell.version = content, dict(meta), cell.version + 1
            return str(cell.version)

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        with self._lock:
            return self.write(name, self._cell(name).content, meta, lease, tag)

    def delete_cell(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._lock:
            self._owned(name, lease)
            del self._cells[name]

    def create_log(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._lock:
            if name in self._logs:
                raise Exists
            self._logs[name] = _Log(content)

    def append(self, name: str, position: int, content: bytes) -> None:
        """See `Storage`."""
        with self._lock:
            log = self._logs.get(name)
            if log is None or log.sealed or len(log.content) != position:
                raise Refused
            log.content += content

    def seal(self, name: str) -> None:
        """See `Storage`."""
        with self._lock:
            if not self._place.can_seal:
                raise CannotSeal
            self._log(name).sealed = True

    def read_log(self, name: str) -> Stored:
        """See `Storage`."""
        with self._lock:
            content = self._log(name).content
            return Stored(content, {}, str(len(content)))

    def delete_log(self, name: str, tag: str | None = None) -> None:
        """See `Storage`."""
        with self._lock:
            if tag is not None and name in self._logs and str(len(self._logs[name].content)) != tag:
                raise Changed
            self._logs.pop(name, None)

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._lock:
            self._files[name] = content

    def get(self, name: str) -> bytes:
        """See `Storage`."""
        with self._lock:
            if name not in self._files:
                raise Missing
            return self._files[name]

    def delete(self, name: str) -> None:
        """See `Storage`."""
        with self._lock:
            self._files.pop(name, None)

    def cells(self, prefix: str) -> list[str]:
        """See `Storage`."""
        with self._lock:
            return sorted(name for name in self._cells if name.startswith(prefix))

    def logs(self) -> list[str]:
        """See `Storage`."""
        with self._lock:
            return sorted(self._logs)

    def files(self, prefix: str) -> list[Item]:
        """See `Storage`."""
        with self._lock:
            return [Item(name, len(data)) for name, data in sorted(self._files.items()) if name.startswith(prefix)]

    def _end(self) -> float:
        return float("inf") if self.lease_seconds is None else self._place.clock() + self.lease_seconds

    def _valid(self, cell: _Cell) -> bool:
        return cell.lease is not None and self._place.clock() < cell.ends

    def _cell(self, name: str) -> _Cell:
        if name not in self._cells:
            raise Missing
        return self._cells[name]

    def _log(self, name: str) -> _Log:
        if name not in self._logs:
            raise Missing
        return self._logs[name]

    def _owned(self, name: str, lease: str) -> _Cell:
        cell = self._cells.get(name)
        if cell is None or cell.lease != lease or not self._valid(cell):
            raise NotOwner
        return cell
