"""Backend: the interface of a state backend for the engine and `run`, without an implementation.

`open_backend` returns a `Backend`. An outsider's backend implements `Storage` (about twenty primitives) and
gets this interface from `StoredBackend`; `testing` is the kit that both have to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct, field

from dstream_state.codec import Json
from dstream_state.holder import Holder
from dstream_state.records import Intent, ProcessStarted, Record
from dstream_state.repair_findings import Repair
from dstream_state.snapshot import Snapshot


class View(Struct, frozen=True):
    """The state as read without a lock: the last snapshot, and records that are in no snapshot yet.

    `snapshot` is None where nothing was ever applied. `holder` is who holds the lock, or held it last
    (`Holder.released`), None if the lock was never held. `overlay(view.snapshot, view.pending)` is the state as of
    now.
    """

    snapshot: Snapshot | None
    pending: tuple[Record, ...] = ()
    holder: Holder | None = None
    lineage: str = ""


class HistoryEntry(Struct, frozen=True):
    """An earlier snapshot: its serial, when it was written (`clock.now`), and its size in bytes as kept."""

    serial: int
    at: str
    size: int


class Moved(Struct, frozen=True):
    """What a migration moved: the number of objects, earlier snapshots, checkpoints and dead letters."""

    objects: int = 0
    snapshots: int = 0
    checkpoints: int = 0
    dead_letters: int = 0


class Held(Protocol):
    """The lock on one state. A context manager: leaving it releases.

    Releasing without `finish` loses nothing: whoever takes the lock next replays the journal.
    """

    @property
    def snapshot(self) -> Snapshot:
        """The state when the lock was taken, journals of earlier holders included."""

    @property
    def unresolved(self) -> Sequence[Intent]:
        """Intents of earlier holders without a result, oldest first: to be resolved before other changes."""

    @property
    def leftovers(self) -> Sequence[ProcessStarted]:
        """Processes that earlier holders recorded; those of this host are ended already."""

    @property
    def holder(self) -> Holder:
        """This process, as contenders are told."""

    @property
    def inherit_fds(self) -> tuple[int, ...]:
        """File descriptors that providers have to inherit, so that the lock outlives a killed engine with them."""

    def append(self, records: Iterable[Record]) -> None:
        """Return when `records` are durable. Thread-safe; records of the same moment share one write.

        Raises LeaseLost, StateUnavailable or StateConflict; after that nothing more can be appended, and the
        operation has to stop.
        """

    def current(self) -> Snapshot:
        """Return the state with everything appended so far (costs as much as the state is large)."""

    def ensure(self) -> None:
        """Raise LeaseLost unless the lock is surely held; call before each provider call. Costs nothing."""

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, as soon as the lock is lost.

        To kill the providers first.
        """

    def finish(self, snapshot: Snapshot | None = None) -> Snapshot:
        """Write `snapshot` (default: `current()`) as the new state and return it with its serial.

        Nothing can be appended afterwards. Writes nothing if nothing changed.
        """

    def release(self) -> None:
        """Give the lock back. May be called again."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""


class Checkpoint(Struct, frozen=True):
    """How far a task got. `position` is the input's own (JSON), `at` when it was stored (`clock.now`).

    `task` is the address of the task, `objects` identity and creation marker of each object that its input needs: a
    checkpoint is invalid once one of them was created again.
    """

    position: Mapping[str, Json]
    task: str = ""
    objects: Mapping[str, Json] = field(default_factory=dict)
    at: str = ""

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"position": self.position, "task": self.task, "objects": self.objects, "at": self.at}

    @classmethod
    def from_json(cls, form: Json) -> Checkpoint:
        """Return what `to_json` stored; raise KeyError or TypeError for anything else."""
        return cls(form["position"], form["task"], form["objects"], form["at"])


class DeadLetter(Struct, frozen=True):
    """An envelope that the output refused. `key` is the SHA-256 of `envelope` in hexadecimal."""

    key: str
    envelope: bytes
    reason: str
    at: str


class DeadLetters(Protocol):
    """Refused envelopes of one task, each kept once."""

    def append(self, letters: Iterable[tuple[bytes, str]]) -> None:
        """Return when each (envelope, reason) is durable."""

    def list(self) -> list[str]:
        """Return the keys, sorted."""

    def read(self, key: str) -> DeadLetter:
        """Return one letter; raise KeyError if there is none."""

    def remove(self, keys: Iterable[str]) -> None:
        """Forget these; keys that are not there are ignored."""


class TaskLease(Protocol):
    """The lease on one task: one runner at a time. A context manager: leaving it releases."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint stored last, None if there is none."""

    @property
    def holder(self) -> Holder:
        """This process, as contenders are told."""

    @property
    def inherit_fds(self) -> tuple[int, ...]:
        """File descriptors that providers have to inherit."""

    @property
    def dead_letters(self) -> DeadLetters:
        """The task's dead letters."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Return when `checkpoint` is durable; raise LeaseLost, StateConflict or StateUnavailable."""

    def record_processes(self, processes: Sequence[ProcessStarted]) -> None:
        """Note which processes run under this lease (instead of those noted before)."""

    def ensure(self) -> None:
        """Raise LeaseLost unless the lease is surely held. Costs nothing."""

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, as soon as the lease is lost."""

    def reset(self) -> None:
        """Forget the checkpoint; dead letters stay."""

    def archive(self) -> None:
        """Put checkpoint and dead letters away under the time and leave the task without any."""

    def move(self, name: str) -> None:
        """Carry checkpoint and dead letters over to the task `name`, which must have none of its own.

        A move that was cut off may be done again; what was carried over already is not in the way.
        """

    def release(self) -> None:
        """Give the lease back. May be called again."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""


class TaskView(Struct, frozen=True):
    """A task's state as read without its lease."""

    checkpoint: Checkpoint | None
    holder: Holder | None
    processes: tuple[ProcessStarted, ...] = ()


class TaskStore(Protocol):
    """Checkpoint and dead letters of one task."""

    def acquire(
        self, who: str, timeout: float = 0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> TaskLease:
        """Take the lease for the operation `who`.

        Raise StateLocked when it is not free within `timeout` seconds.
        """

    def read(self) -> TaskView:
        """Return the stored content, without taking the lease."""

    @property
    def dead_letters(self) -> DeadLetters:
        """The task's dead letters, without the lease: for reading, and for removing what was replayed."""


class Receipts(Protocol):
    """What earlier operations did, one JSON object for each."""

    def name(self, id_: str) -> str:
        """Return the name for a new receipt of the operation `id_`; names sort by time."""

    def put(self, name: str, content: Mapping[str, Json]) -> None:
        """Write a receipt, in place of what it has so far."""

    def names(self) -> list[str]:
        """Return the names of all receipts, newest first."""

    def read(self, name: str) -> Mapping[str, Json]:
        """Return a receipt; raise StateError if it is missing, damaged, too new or cannot be decrypted."""

    def prune(self) -> None:
        """Delete receipts that are neither among the last 500 nor of the last 365 days."""


class Backend(Protocol):
    """A place where state lives, one workspace of it."""

    @property
    def workspace(self) -> str:
        """The workspace's name."""

    def describe(self) -> str:
        """Return where the state is, for the user."""

    def warnings(self) -> list[str]:
        """Return a warning about this storage location, such as that it is on a network file system."""

    def prepare(self) -> None:
        """Make what has to be there before the first lock (folder, container).

        Raise StateError if it cannot be.
        """

    def read(self) -> View:
        """Return the state without a lock and without writing anything."""

    def lock(
        self,
        operation: str,
        *,
        timeout: float = 0,
        on_wait: Callable[[Holder | None], None] | None = None,
        set_aside: bool = False,
    ) -> Held:
        """Take the lock, replay journals of killed holders, and return it.

        Waits up to `timeout` seconds, calling `on_wait` once with the holder; then raises StateLocked. With
        `set_aside`, journals are not replayed, and a state that cannot be read is taken for an empty one: what
        was there is kept as files `aside/...`. That is for putting another state in its place.
        """

    def is_locked(self) -> bool:
        """Return whether the lock is held: by the holder on record, alive or not, or by a process not on record."""

    def force_unlock(self, lock_id: str | None, *, kill: bool = False) -> Holder | None:
        """Take the lock away from the holder with this id and return that holder.

        None is for a lock whose holder did not write its name: killed in the middle of taking it. Refuses
        (StateLocked) while the holder's process is alive on this host, unless `kill`, which ends it.
        """

    def task(self, name: str) -> TaskStore:
        """Return the store of the task `name` (any text)."""

    def tasks(self) -> list[str]:
        """Return the names of all tasks that have a store, sorted."""

    def history(self) -> list[HistoryEntry]:
        """Return the kept snapshots, newest first."""

    def past(self, serial: int) -> Snapshot:
        """Return the kept snapshot with this serial; raise StateError if there is none."""

    def receipts(self) -> Receipts:
        """Return the receipts of earlier operations."""

    def examine(self) -> Repair:
        """Return the damaged or missing parts, and the steps of a repair; nothing is written."""

    def repair(
        self, found: Repair, *, timeout: float = 0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Snapshot:
        """Carry out what `examine` found, under the lock, and return the state as written.

        What cannot be used is kept as files `aside/...`. Raises StateConflict if there is something else to repair
        by now.
        """

    def move_to(
        self, target: Backend, *, timeout: float = 0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> Moved | None:
        """Move the state, with history, checkpoints and dead letters, to `target`; None if there is nothing to move.

        Everything in the new place is compared with the old one; then the old state is marked as moved, and refused
        from then on (StateMoved). Raises StateLocked while the state or a task is in use, StateConflict where the
        target has another state. A move that was cut off may be done again.
        """

    def workspaces(self) -> list[str]:
        """Return the names of all workspaces that have a state, sorted; `default` always among them."""

    def at(self, workspace: str) -> Backend:
        """Return the same place, another workspace."""

    def delete(self) -> None:
        """Delete the state of this workspace and everything beside it.

        Raise StateLocked if another process holds it.
        """

    def close(self) -> None:
        """Close connections. What was locked should be released before."""
