"""StoredBackend: state over a `Storage`.

Taking the lock, reading without it, and what else is asked of a backend.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Sequence

from msgspec.structs import replace

from dstream_state import processes
from dstream_state.backend import Backend, Held, HistoryEntry, Moved, Receipts, TaskStore, View
from dstream_state.checksum import digest
from dstream_state.clock import boot_seconds
from dstream_state.errors import (
    LeaseLost,
    StateConflict,
    StateDamaged,
    StateError,
    StateLocked,
    StateMismatch,
    StateMoved,
    StateUnavailable,
)
from dstream_state.history import History
from dstream_state.holder import Holder, this_holder, unreleased
from dstream_state.journal import MAX_BLOCKS, JournalWriter, delete_journal, log_name, new_name, read_journal
from dstream_state.lease import Clock, Lease, OnWait
from dstream_state.lock_metadata import Meta
from dstream_state.migration import Place, copy_state
from dstream_state.receipts import StoredReceipts
from dstream_state.records import ProcessStarted, Record
from dstream_state.repair import carry_out, examine
from dstream_state.repair_findings import Repair
from dstream_state.sealing import Sealer, read_snapshot
from dstream_state.snapshot import Snapshot
from dstream_state.state_lock import STATE, StoredHeld, fresh_records
from dstream_state.storage import Busy, CannotSeal, Changed, Missing, NotOwner, Storage, StorageError, Stored
from dstream_state.task_store import StoredTask, task_names
from dstream_state.verification import state_problem

_NO_CONTENT = "0" * 64
"""The SHA-256 in the metadata of a state that is about to be replaced: its content is not believed until then."""


class StoredBackend:
    """`Backend` over a `Storage`; see there for every method."""

    def __init__(
        self,
        storage: Storage,
        workspace: str = "default",
        sealer: Sealer | None = None,
        *,
        clock: Clock = boot_seconds,
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """Use `storage`, which is that of `workspace`. `clock` and `max_blocks` are for tests."""
        self.workspace = workspace
        self._storage, self._sealer, self._clock, self._max_blocks = storage, sealer, clock, max_blocks
        self._last_read: tuple[bytes, Snapshot | None] | None = None

    def describe(self) -> str:
        """See `Backend`."""
        return self._storage.describe()

    def warnings(self) -> list[str]:
        """See `Backend`."""
        return self._storage.warnings()

    def prepare(self) -> None:
        """See `Backend`."""
        self._storage.prepare()

    def close(self) -> None:
        """See `Backend`."""
        self._storage.close()

    def read(self) -> View:
        """See `Backend`."""
        for _ in range(8):
            try:
                stored = self._storage.read(STATE)
            except Missing:
                stored = Stored(b"", {}, "")
            view = self._view(stored)
            if view is not None:
                return view
            time.sleep(0.05)
        raise StateUnavailable("The state changes faster than it can be read. Try again.")

    def lock(
        self, operation: str, *, timeout: float = 0, on_wait: OnWait | None = None, set_aside: bool = False
    ) -> Held:
        """See `Backend`."""
        return self._locked(operation, timeout, on_wait, set_aside=set_aside)

    def _locked(self, operation: str, timeout: float, on_wait: OnWait | None, *, set_aside: bool = False) -> StoredHeld:
        lease = self._acquire(timeout, on_wait)
        try:
            held = self._own(lease, operation, set_aside=set_aside)
        except BaseException:
            lease.release()
            raise
        try:
            held.recover()
        except BaseException:
            held.release()
            raise
        return held

    def is_locked(self) -> bool:
        """See `Backend`."""
        if unreleased(self._last_holder()) is not None:
            return True
        try:
            self._acquire(0, None).release()
        except StateLocked:
            return True
        return False

    def force_unlock(self, lock_id: str | None, *, kill: bool = False) -> Holder | None:
        """See `Backend`."""
        holder = unreleased(self._last_holder())
        if lock_id is None and holder is not None:
            raise StateLocked(holder, hint=f"Repeat the command with its lock id: dstream force-unlock {holder.id}.")
        holder = holder or self._last_holder()
        if holder is not None and lock_id is not None and holder.id != lock_id:
            raise StateError(f"The lock id is {holder.id} ({holder.describe()}), not {lock_id}. Nothing was changed.")
        if holder is not None and not holder.released:
            self._end_holder(holder, kill)
        with contextlib.suppress(Missing):
            self._storage.break_lease(STATE)
        lease = self._acquire(5, None)
        try:
            stored = self._storage.read_meta(STATE)
            meta = Meta.load(stored.meta)
            after = replace(meta.released(), epoch=meta.epoch + 1)
            self._storage.write_meta(STATE, after.store(), lease.id, stored.tag)
        finally:
            lease.release()
        return holder

    def task(self, name: str) -> TaskStore:
        """See `Backend`."""
        return StoredTask(self._storage, name, self._sealer, self._clock)

    def tasks(self) -> list[str]:
        """See `Backend`."""
        return task_names(self._storage)

    def history(self) -> list[HistoryEntry]:
        """See `Backend`."""
        return [HistoryEntry(kept.serial, kept.at, kept.size) for kept in History(self._storage).entries()]

    def past(self, serial: int) -> Snapshot:
        """See `Backend`."""
        return History(self._storage).snapshot(serial, self._sealer)[0]

    def receipts(self) -> Receipts:
        """See `Backend`."""
        return StoredReceipts(self._storage, self._sealer)

    def examine(self) -> Repair:
        """See `Backend`."""
        return examine(self._storage, self._sealer)

    def repair(self, found: Repair, *, timeout: float = 0, on_wait: OnWait | None = None) -> Snapshot:
        """See `Backend`."""
        lease = self._acquire(timeout, on_wait)
        try:
            return carry_out(self._storage, lease, self._sealer, found, self._clock)
        finally:
            lease.release()

    def move_to(self, target: Backend, *, timeout: float = 0, on_wait: OnWait | None = None) -> Moved | None:
        """See `Backend`."""
        if not isinstance(target, StoredBackend):
            raise StateError(f"State cannot be moved to {target.describe()}: the backend has no storage interface.")
        view, names = self.read(), self.tasks()
        if view.snapshot is None and not view.pending and not names:
            return None
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(self._locked("state migrate", timeout, on_wait))
            held.finish()
            tasks = {name: stack.enter_context(self.task(name).acquire("state migrate")) for name in names}
            moved = copy_state(self._place(), target._place(), tasks)
            held.mark_moved(target.at("default").describe())
        return moved

    def _place(self) -> Place:
        return Place(self._storage, self._sealer, self._clock)

    def workspaces(self) -> list[str]:
        """See `Backend`."""
        return sorted({"default", *self._storage.at("default").workspaces()})

    def at(self, workspace: str) -> StoredBackend:
        """See `Backend`."""
        storage = self._storage.at(workspace)
        return StoredBackend(storage, workspace, self._sealer, clock=self._clock, max_blocks=self._max_blocks)

    def delete(self) -> None:
        """See `Backend`."""
        storage = self._storage
        lease = self._acquire(0, None)
        try:
            for name in self.tasks():
                self.task(name).acquire("delete").release()
            for cell in storage.cells("task/"):
                other = Lease(storage, cell, self._clock)
                other.acquire(0, lambda: None)
                storage.delete_cell(cell, other.id)
                other.release()
            for item in storage.files(""):
                storage.delete(item.name)
            for log in storage.logs():
                storage.delete_log(log)
            storage.delete_cell(STATE, lease.id)
        except Busy:
            raise StateLocked(None, "A task") from None
        finally:
            lease.release()

    def _view(self, stored: Stored) -> View | None:
        """Return what there is to see; None if it changed meanwhile."""
        meta = Meta.load(stored.meta)
        if meta.moved:
            raise StateMoved(meta.moved)
        snapshot = self._parsed(stored.content)
        if problem := state_problem(self._storage, stored.content, snapshot, meta):
            if self._tag() != stored.tag:
                return None
            raise StateMismatch(problem)
        if not meta.journals:
            return View(snapshot, (), meta.holder, meta.lineage)
        base = snapshot or Snapshot(meta.lineage)
        pending: list[Record] = []
        try:
            for name in meta.journals:
                pending += self._pending(name, base)
        except Missing:
            return None
        if Meta.load(self._storage.read_meta(STATE).meta).serial != meta.serial:
            return None
        return View(snapshot, tuple(pending), meta.holder, meta.lineage)

    def _tag(self) -> str:
        try:
            return self._storage.read_meta(STATE).tag
        except Missing:
            return ""

    def _parsed(self, content: bytes) -> Snapshot | None:
        """Return the snapshot in `content`; an operation that reads, then locks, finds the same one again."""
        known = self._last_read
        if known is not None and known[0] == content:
            return known[1]
        snapshot = read_snapshot(content, self._sealer) if content.strip() else None
        self._last_read = content, snapshot
        return snapshot

    def _pending(self, name: str, base: Snapshot) -> list[Record]:
        try:
            return fresh_records(read_journal(self._storage, name, self._sealer), base)
        except Missing:
            if name in base.absorbed:
                return []
            raise

    def _acquire(self, timeout: float, on_wait: OnWait | None) -> Lease:
        lease = Lease(self._storage, STATE, self._clock)
        lease.acquire_or_refuse(timeout, self._last_holder, on_wait)
        return lease

    def _last_holder(self) -> Holder | None:
        try:
            return Meta.load(self._storage.read_meta(STATE).meta).holder
        except Missing:
            return None

    def _own(self, lease: Lease, operation: str, *, set_aside: bool) -> StoredHeld:
        """Make this process the owner: from here on, nothing that an earlier holder writes is accepted."""
        stored = self._storage.read(STATE)
        if set_aside:
            base, meta = self._set_aside(stored)
        else:
            meta = Meta.load(stored.meta)
            if meta.moved:
                raise StateMoved(meta.moved)
            base = self._parsed(stored.content)
            if problem := state_problem(self._storage, stored.content, base, meta):
                raise StateMismatch(problem)
            meta = replace(meta, sha256=digest(stored.content) if base else "")
        lineage = base.lineage if base else meta.lineage or str(uuid.uuid4())
        serial = base.serial if base else 0
        journal = JournalWriter(
            self._storage, new_name(), lineage, serial, self._sealer, lease.ensure, self._max_blocks
        )
        holder = this_holder(operation, lease.id)
        owned = Meta(
            lineage=lineage,
            epoch=meta.epoch + 1,
            serial=serial,
            journals=(*meta.journals, journal.name),
            holder=holder,
            sha256=meta.sha256,
        )
        try:
            tag = self._storage.write_meta(STATE, owned.store(), lease.id, stored.tag)
        except StorageError as error:
            delete_journal(self._storage, journal.name)
            if isinstance(error, NotOwner):
                raise LeaseLost("Another process took over the lock while it was being acquired.") from None
            if isinstance(error, Changed):
                raise StateConflict(
                    "The state was written without the lock while the lock was being acquired."
                ) from None
            raise
        held = StoredHeld(self._storage, lease, journal, base, owned, tag, self._sealer, holder)
        if owned.sha256 == _NO_CONTENT:
            held.rewrite()
        return held

    def _set_aside(self, stored: Stored) -> tuple[Snapshot | None, Meta]:
        """Keep what cannot be used as files `aside/...`; return the base to continue from: the state, if it is
        believed."""
        content = stored.content
        try:
            meta = Meta.load(stored.meta)
        except StateDamaged:
            meta = Meta()
        for name in meta.journals:
            with contextlib.suppress(Missing, CannotSeal):
                self._storage.seal(log_name(name))
            with contextlib.suppress(Missing):
                self._storage.put(f"aside/{name}", self._storage.read_log(log_name(name)).content)
        found: Snapshot | None = None
        try:
            found = self._parsed(content)
            if state_problem(self._storage, content, found, meta) is None:
                return found, replace(meta, journals=(), sha256=digest(content) if found else "")
        except StateDamaged:
            pass
        if content.strip():
            self._storage.put(f"aside/state-{meta.serial}", content)
        # The serial keeps rising, and the lineage is preserved, as far as they can be determined.
        newest = next(iter(History(self._storage).entries()), None)
        serial = max(meta.serial, found.serial if found else 0, newest.serial if newest else 0)
        lineage = meta.lineage or self._lineage(newest.serial if newest else None) or (found.lineage if found else "")
        base = replace(Snapshot.new(lineage), serial=serial, epoch=meta.epoch)
        return base, replace(meta, lineage=base.lineage, journals=(), sha256=_NO_CONTENT)

    def _lineage(self, serial: int | None) -> str:
        try:
            return "" if serial is None else self.past(serial).lineage
        except StateError:
            return ""

    def _end_holder(self, holder: Holder, kill: bool) -> None:
        """End what holds the lock on this host, if it may be ended."""
        leftovers = self._recorded_processes()
        here = [(p.pid, p.started) for p in leftovers if p.host == processes.this_host()]
        if holder.host == processes.this_host():
            here.insert(0, (holder.pid, holder.started))
        running = [(pid, started) for pid, started in here if processes.alive(pid, started)]
        if running and not kill:
            pid, started = running[0]
            raise StateLocked(
                holder,
                hint=f"Process {pid} (start time {started}) is still running on this machine: end it, or repeat the "
                "command with -kill.",
            )
        for pid, started in running:
            if not processes.end(pid, started):
                raise StateLocked(holder, hint=f"Process {pid} could not be ended. End it yourself and try again.")

    def _recorded_processes(self) -> Sequence[ProcessStarted]:
        try:
            return [record for record in self.read().pending if isinstance(record, ProcessStarted)]
        except StateError:
            return []
