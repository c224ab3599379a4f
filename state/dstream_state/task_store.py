"""Tasks: the checkpoint of each, under a lease of its own, and its dead letters.

A task's cell holds one small document; storing a checkpoint replaces it under lease and tag, so that a runner
that was stopped for longer than its lease can store nothing any more.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from dstream_state import processes
from dstream_state.backend import Checkpoint, TaskView
from dstream_state.checksum import checked_line, digest, read_line
from dstream_state.clock import now
from dstream_state.codec import Json
from dstream_state.dead_letters import StoredDeadLetters
from dstream_state.errors import FormatTooNew, LeaseLost, StateConflict, StateDamaged, StateError, StateLocked
from dstream_state.holder import Holder, this_holder
from dstream_state.lease import Clock, Lease, ReleasedOnExit
from dstream_state.lock_metadata import Meta
from dstream_state.records import ProcessStarted
from dstream_state.sealing import Sealer
from dstream_state.storage import Busy, Changed, Missing, NotOwner, Storage, Stored
from dstream_state.verification import task_problem

FORMAT_VERSION = 1
_CELLS = "task/"
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_QUOTED = re.compile(r"~([0-9A-F]{2})")


def quote(name: str) -> str:
    """Return `name` as part of a storage name: other bytes than letters, digits, `-` and `_` as `~XX`."""
    return "".join(chr(byte) if byte in _PLAIN else f"~{byte:02X}" for byte in name.encode())


def unquote(text: str) -> str:
    """Return the name that `quote` was given."""
    return _QUOTED.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1").decode()


def task_names(storage: Storage) -> list[str]:
    """Return the names of the tasks that have a cell."""
    return sorted(unquote(cell.removeprefix(_CELLS)) for cell in storage.cells(_CELLS))


class StoredTask:
    """`TaskStore` over a `Storage`."""

    def __init__(self, storage: Storage, name: str, sealer: Sealer | None, clock: Clock) -> None:
        """Look at the task `name`; nothing is made yet."""
        self._storage, self._name, self._sealer, self._clock = storage, name, sealer, clock
        self._cell = _CELLS + quote(name)

    @property
    def dead_letters(self) -> StoredDeadLetters:
        """See `TaskStore`."""
        return StoredDeadLetters(self._storage, f"dead/{quote(self._name)}/", self._sealer)

    def read(self) -> TaskView:
        """See `TaskStore`."""
        try:
            stored = self._storage.read(self._cell)
        except Missing:
            return TaskView(None, None)
        try:
            document, meta = self._verified(stored)
        except StateDamaged:
            # Content and metadata are two files in some places: the runner may have written between the two reads.
            document, meta = self._verified(self._storage.read(self._cell))
        return TaskView(document.checkpoint, meta.holder, document.processes)

    def problem(self) -> str | None:
        """Return why the checkpoint cannot be used, None if it can."""
        try:
            self.read()
        except StateDamaged as damage:
            return damage.reason
        return None

    def repair(self) -> None:
        """Make the task usable again: with its checkpoint where that can be read, else without one.

        What was there is kept as `aside/task-NAME`. Dead letters stay.
        """
        lease = Lease(self._storage, self._cell, self._clock)
        try:
            lease.acquire(0, lambda: None)
        except Busy:
            raise StateLocked(None, f"Task {self._name}") from None
        try:
            stored = self._storage.read(self._cell)
            if stored.content.strip():
                self._storage.put(f"aside/task-{quote(self._name)}", stored.content)
            try:
                document = _Document.load(stored.content, self._name)
            except StateDamaged:
                document = _Document()
            try:
                meta = Meta.load(stored.meta)
            except StateDamaged:
                meta = Meta()
            serial = max(meta.serial, document.serial or 0) + 1
            content = document.store(self._name, serial)
            fresh = Meta(epoch=meta.epoch + 1, serial=serial, holder=meta.released().holder, sha256=digest(content))
            self._storage.write(self._cell, content, fresh.store(), lease.id, stored.tag)
        finally:
            lease.release()

    def _verified(self, stored: Stored) -> tuple[_Document, Meta]:
        """Return document and metadata of the cell; raise StateDamaged unless they belong together."""
        meta = Meta.load(stored.meta)
        document = _Document.load(stored.content, self._name)
        if problem := task_problem(stored.content, document.serial, meta):
            raise StateDamaged(f"The checkpoint of task {self._name}", problem)
        return document, meta

    def acquire(
        self, who: str, timeout: float = 0, on_wait: Callable[[Holder | None], None] | None = None
    ) -> StoredTaskLease:
        """See `TaskStore`. Ends processes that an earlier holder left on this host."""
        lease = Lease(self._storage, self._cell, self._clock)
        hint = "A task has one runner: stop it (`dstream stop`), or wait for it with -lock-timeout."
        lease.acquire_or_refuse(timeout, lambda: self.read().holder, on_wait, f"Task {self._name}", hint)
        try:
            return self._own(lease, who)
        except BaseException:
            lease.release()
            raise

    def _own(self, lease: Lease, who: str) -> StoredTaskLease:
        stored = self._storage.read(self._cell)
        document, meta = self._verified(stored)
        holder = this_holder(who, lease.id)
        # Content that is newer than its metadata is that of a runner which was killed between the two writes.
        serial = max(meta.serial, document.serial or 0)
        sha256 = digest(stored.content) if stored.content.strip() else ""
        owned = Meta(epoch=meta.epoch + 1, serial=serial, holder=holder, sha256=sha256)
        try:
            tag = self._storage.write_meta(self._cell, owned.store(), lease.id, stored.tag)
        except (NotOwner, Changed):
            raise LeaseLost("Another process took over the lease while it was being acquired.") from None
        for process in document.processes:
            if process.host == processes.this_host():
                processes.end(process.pid, process.started)
        return StoredTaskLease(self, lease, document, owned, tag, holder)


class _Document:
    """What a task's cell holds."""

    __slots__ = ("checkpoint", "processes", "serial")

    def __init__(
        self,
        checkpoint: Checkpoint | None = None,
        started: Sequence[ProcessStarted] = (),
        serial: int | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.processes = tuple(started)
        self.serial = serial
        """That of the metadata it was written with; None in documents of earlier versions."""

    def store(self, name: str, serial: int) -> bytes:
        """Return the stored form."""
        form: dict[str, Json] = {"format_version": FORMAT_VERSION, "name": name, "serial": serial}
        if (point := self.checkpoint) is not None:
            form["checkpoint"] = point.to_json()
        if self.processes:
            form["processes"] = [process.to_json() for process in self.processes]
        return checked_line(form)

    @classmethod
    def load(cls, content: bytes, name: str) -> _Document:
        """Return what `store` made."""
        if not content.strip():
            return cls()
        what = f"The checkpoint of task {name}"
        form = read_line(content, what)
        try:
            if form["format_version"] > FORMAT_VERSION:
                raise FormatTooNew(what, form["format_version"], FORMAT_VERSION)
            if form["name"] != name:
                raise StateDamaged(what, f"it belongs to task {form['name']}")
            point, serial = form.get("checkpoint"), form.get("serial")
            if serial is not None and not isinstance(serial, int):
                raise StateDamaged(what, "its serial is not valid")
            started = [ProcessStarted.from_json(item) for item in form.get("processes", ())]
            if point is None:
                return cls(None, started, serial)
            return cls(Checkpoint.from_json(point), started, serial)
        except (KeyError, TypeError, AttributeError) as error:
            raise StateDamaged(what, f"{type(error).__name__}: {error}") from error


class StoredTaskLease(ReleasedOnExit):
    """`TaskLease` over a `Storage`; made by `StoredTask.acquire`. Thread-safe."""

    def __init__(
        self, task: StoredTask, lease: Lease, document: _Document, meta: Meta, tag: str, holder: Holder
    ) -> None:
        """Take over a cell whose metadata names this process."""
        self._task, self._lease, self._document, self._meta, self._tag = task, lease, document, meta, tag
        self._storage, self._cell, self._holder = task._storage, task._cell, holder
        self._lock = threading.RLock()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """See `TaskLease`."""
        return self._document.checkpoint

    @property
    def holder(self) -> Holder:
        """See `TaskLease`."""
        return self._holder

    @property
    def inherit_fds(self) -> tuple[int, ...]:
        """See `TaskLease`."""
        return self._storage.inherit_fds(self._cell, self._lease.id)

    @property
    def dead_letters(self) -> StoredDeadLetters:
        """See `TaskLease`."""
        return self._task.dead_letters

    def store(self, checkpoint: Checkpoint) -> None:
        """See `TaskLease`."""
        with self._lock:
            self._write(_Document(replace(checkpoint, at=checkpoint.at or now()), self._document.processes))

    def record_processes(self, processes: Sequence[ProcessStarted]) -> None:
        """See `TaskLease`."""
        with self._lock:
            self._write(_Document(self._document.checkpoint, processes))

    def ensure(self) -> None:
        """See `TaskLease`."""
        self._lease.ensure()

    def on_lost(self, callback: Callable[[], None]) -> None:
        """See `TaskLease`."""
        self._lease.on_lost(callback)

    def reset(self) -> None:
        """See `TaskLease`."""
        with self._lock:
            self._write(_Document(None, self._document.processes))

    def archive(self) -> None:
        """See `TaskLease`."""
        with self._lock:
            self.ensure()
            letters = self.dead_letters
            keys = letters.list()
            if self.checkpoint is None and not keys:
                return
            folder = f"archive/{quote(self._task._name)}/{now().replace('-', '').replace(':', '')}/"
            self._storage.put(f"{folder}checkpoint", self._document.store(self._task._name, self._meta.serial))
            letters.copy_to(f"{folder}dead/")
            self._write(_Document())
            letters.remove(keys)

    def move(self, name: str) -> None:
        """See `TaskLease`."""
        target = StoredTask(self._storage, name, self._task._sealer, self._task._clock)
        keys = self.dead_letters.list()
        if self.checkpoint is None and not keys:
            return
        with self._lock, target.acquire(f"move of task {self._task._name}") as other:
            # What a move that was cut off carried over already is not a conflict.
            same, there = other.checkpoint == self.checkpoint, set(other.dead_letters.list())
            carried = there <= set(keys) or (same and there >= set(keys))
            if not carried or not (same or other.checkpoint is None):
                raise StateConflict(f"Task {name} already has a checkpoint or dead letters. Nothing was moved.")
            self.dead_letters.copy_to(f"dead/{quote(name)}/")
            other._write(_Document(self._document.checkpoint))
            self.dead_letters.remove(keys)
            self._write(_Document())

    def release(self) -> None:
        """See `TaskLease`."""
        with self._lock:
            with contextlib.suppress(StateError, NotOwner, Changed):
                self._lease.ensure()
                self._storage.write_meta(self._cell, self._meta.released().store(), self._lease.id, self._tag)
            self._lease.release()

    def _write(self, document: _Document) -> None:
        self.ensure()
        serial = self._meta.serial + 1
        content = document.store(self._task._name, serial)
        meta = replace(self._meta, serial=serial, sha256=digest(content))
        try:
            self._tag = self._storage.write(self._cell, content, meta.store(), self._lease.id, self._tag)
        except NotOwner:
            self._lease.lost_elsewhere()
            self.ensure()
            raise
        except Changed:
            self._lease.check()
            raise StateConflict(f"The checkpoint of task {self._task._name} was written without its lease.") from None
        self._document, self._meta = document, meta
