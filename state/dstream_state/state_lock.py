"""The lock on one state, once taken.

Recovery of what killed holders left, changes, and the end of the operation.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from dstream_state import processes
from dstream_state.apply_records import Overlay
from dstream_state.checksum import digest
from dstream_state.errors import JournalMismatch, LeaseLost, StateConflict, StateDamaged, StateError
from dstream_state.history import History
from dstream_state.holder import Holder
from dstream_state.journal import Journal, JournalWriter, delete_journal, log_name, read_journal
from dstream_state.lease import Lease, ReleasedOnExit
from dstream_state.lock_metadata import Meta
from dstream_state.records import Intent, ProcessStarted, Record, SetKey
from dstream_state.sealing import Sealer, snapshot_bytes
from dstream_state.snapshot import Snapshot
from dstream_state.storage import CannotSeal, Changed, Missing, NotOwner, Storage

STATE = "state"
"""The name of the cell that holds the snapshot."""

SWEEP_EVERY = 10
"""At every tenth serial, unlisted logs are deleted."""


def fresh_records(journal: Journal, snapshot: Snapshot) -> list[Record]:
    """Return what is in `journal` and not in `snapshot`.

    Raise JournalMismatch if it is on top of another one.
    """
    absorbed = snapshot.absorbed.get(journal.name)
    blocks = [block for block in journal.blocks if absorbed is None or block.seq > absorbed]
    if not blocks:
        return []
    if journal.lineage != snapshot.lineage:
        raise JournalMismatch(journal.name, f"its lineage is {journal.lineage}, the state's {snapshot.lineage}")
    for block in blocks:
        fits = block.base == snapshot.serial if absorbed is None else block.base <= snapshot.serial
        if not fits:
            raise JournalMismatch(
                journal.name, f"it continues serial {block.base}, the state has serial {snapshot.serial}"
            )
    return [record for block in blocks for record in block.records]


class StoredHeld(ReleasedOnExit):
    """`Held` over a `Storage`; made by `StoredBackend.lock`."""

    def __init__(
        self,
        storage: Storage,
        lease: Lease,
        journal: JournalWriter,
        base: Snapshot | None,
        meta: Meta,
        tag: str,
        sealer: Sealer | None,
        holder: Holder,
    ) -> None:
        """Take a state whose metadata `meta`, with the tag `tag`, names this process as the holder."""
        self._storage, self._lease, self._journal, self._sealer = storage, lease, journal, sealer
        self._meta, self._tag, self._holder = meta, tag, holder
        self._exists = base is not None
        self._base = base or Snapshot.new(meta.lineage)
        if base is None:
            journal.begin_with(SetKey(self._base.hmac_key))
        self._overlay = Overlay(self._base)
        self._older: dict[str, Journal | None] = dict.fromkeys(meta.journals[:-1])
        self._unsealed: set[str] = set()
        self._recovered = False
        self._appended = False
        self._lock = threading.Condition(threading.RLock())
        self._appending = 0
        self._done = False
        self.leftovers: Sequence[ProcessStarted] = ()
        self.snapshot = self._base

    @property
    def unresolved(self) -> Sequence[Intent]:
        """See `Held`."""
        return tuple(self.snapshot.intents.values())

    @property
    def holder(self) -> Holder:
        """See `Held`."""
        return self._holder

    @property
    def inherit_fds(self) -> tuple[int, ...]:
        """See `Held`."""
        return self._storage.inherit_fds(STATE, self._lease.id)

    def recover(self) -> None:
        """Seal the journals of earlier holders, take them in, and write a snapshot if there was anything in them."""
        records = self._read_older()
        self.leftovers = tuple(record for record in records if isinstance(record, ProcessStarted))
        for process in self.leftovers:
            if process.host == processes.this_host():
                processes.end(process.pid, process.started)
        if records or self._unsealed:
            self._write_over(records)
        self._recovered = True
        self.snapshot = self._base

    def rewrite(self) -> None:
        """Have `finish` write the state also where nothing changed."""
        self._exists = False

    def mark_moved(self, place: str) -> None:
        """Have the state refused from now on: it was moved to `place`."""
        with self._lock:
            self.ensure()
            self._write_meta(replace(self._meta, moved=place))

    def append(self, records: Iterable[Record]) -> None:
        """See `Held`."""
        batch = list(records)
        self.ensure()
        with self._lock:
            self._appending += 1
        written = False
        try:
            self._journal.append(batch)
            written = True
        except StateConflict:
            self._lease.lost_elsewhere()
            raise
        finally:
            with self._lock:
                self._appending -= 1
                self._appended = self._appended or written
                for record in batch if written else ():
                    self._overlay.apply(record)
                self._lock.notify_all()

    def current(self) -> Snapshot:
        """See `Held`."""
        with self._lock:
            return self._overlay.snapshot()

    def ensure(self) -> None:
        """See `Held`."""
        self._lease.ensure()

    def on_lost(self, callback: Callable[[], None]) -> None:
        """See `Held`."""
        self._lease.on_lost(callback)

    def finish(self, snapshot: Snapshot | None = None) -> Snapshot:
        """See `Held`."""
        with self._lock:
            self.ensure()
            self._lock.wait_for(lambda: self._appending == 0)
            target = self._overlay.snapshot() if snapshot is None else snapshot
            if self._exists and not self._appended and self._same(target):
                return self._base
            self._journal.close(LeaseLost("The operation has ended."))
            self._overlay = Overlay(target)
            self._write_over(self._late_records())
            self._appended = False
            self._remove(self._journal.logs)
            self._done = True
            if self._base.serial % SWEEP_EVERY == 0:
                self._sweep()
            return self._base

    def release(self) -> None:
        """See `Held`."""
        with self._lock:
            with contextlib.suppress(StateError):
                self._lease.ensure()
                self._give_back()
            self._lease.release()

    def _give_back(self) -> None:
        # A journal without news goes; a journal with new records stays listed, and the next operation reads it.
        gone = [name for name in self._older if name not in self._unsealed] if self._recovered else []
        if not self._done and self._journal.last == 0:
            gone.append(self._journal.name)
        kept = tuple(n for n in self._meta.journals if n not in gone and not (self._done and n == self._journal.name))
        with contextlib.suppress(NotOwner, Changed):
            self._write_meta(replace(self._meta.released(), journals=kept))
            for name in gone:
                delete_journal(self._storage, name)

    def _sweep(self) -> None:
        """Delete logs of processes that died before they listed them.

        Under the lock, no process uses them.
        """
        with contextlib.suppress(StateError):
            for name in self._storage.logs():
                self._storage.delete_log(name)

    def _read_older(self) -> list[Record]:
        records: list[Record] = []
        for name in self._older:
            journal = self._read_one(name)
            if journal is None:
                continue
            self._older[name] = journal
            news = fresh_records(journal, self._base)
            records.extend(news)
        return records

    def _read_one(self, name: str) -> Journal | None:
        try:
            return read_journal(self._storage, name, self._sealer, seal=True)
        except CannotSeal:
            self._unsealed.add(name)
            return self._read_unsealed(name)
        except Missing:
            self._check_absorbed(name)
            return None

    def _read_unsealed(self, name: str) -> Journal | None:
        try:
            return read_journal(self._storage, name, self._sealer)
        except Missing:
            self._check_absorbed(name)
            return None

    def _check_absorbed(self, name: str) -> None:
        if name not in self._base.absorbed:
            raise StateDamaged(f"Journal {name}", "it is missing, and its records are not in the state")

    def _late_records(self) -> list[Record]:
        """Return the records that were appended to unsealable journals after they were read."""
        late: list[Record] = []
        for name in self._unsealed & self._older.keys():
            known = self._older[name]
            journal = self._read_unsealed(name)
            if journal is not None and known is not None:
                late += [record for block in journal.blocks if block.seq > known.last for record in block.records]
                self._older[name] = journal
        return late

    def _write_over(self, records: Sequence[Record]) -> None:
        """Write the state with `records` applied and delete the older journals, which are part of it then."""
        while True:
            for record in records:
                self._overlay.apply(record)
            self._write()
            records = []
            for name in list(self._older):
                if self._delete_older(name):
                    del self._older[name]
            if not self._older:
                self._meta = replace(self._meta, journals=(self._journal.name,))
                return
            records = self._late_records()

    def _delete_older(self, name: str) -> bool:
        journal = self._older[name]
        if name not in self._unsealed or journal is None:
            if journal is not None:
                self._remove([log for log, _ in journal.logs])
            return True
        try:
            for log, tag in reversed(journal.logs):
                self._storage.delete_log(log_name(log), tag)
        except Changed:
            return False
        return True

    def _remove(self, logs: Sequence[str]) -> None:
        """Delete the logs of a journal, the last one first, so that none is left unreachable."""
        with contextlib.suppress(StateError):  # It is absorbed: whoever is next deletes it.
            for log in reversed(logs):
                self._storage.delete_log(log_name(log))

    def _write(self) -> None:
        absorbed = {name: journal.last for name, journal in self._older.items() if journal is not None}
        absorbed |= {n: seq for n, seq in self._base.absorbed.items() if n in self._meta.journals and n not in absorbed}
        absorbed[self._journal.name] = self._journal.last
        new = self._overlay.snapshot(serial=self._base.serial + 1, epoch=self._meta.epoch, absorbed=absorbed)
        content = snapshot_bytes(new, self._sealer)
        meta = replace(self._meta, serial=new.serial, lineage=new.lineage, sha256=digest(content))
        self._tag = self._owned(lambda: self._storage.write(STATE, content, meta.store(), self._lease.id, self._tag))
        self._meta, self._base, self._exists = meta, new, True
        self._overlay = Overlay(new)
        self._journal.base = new.serial
        with contextlib.suppress(StateError):  # The state is written; the copy is a convenience.
            History(self._storage).keep(new.serial, content)

    def _write_meta(self, meta: Meta) -> None:
        self._tag = self._storage.write_meta(STATE, meta.store(), self._lease.id, self._tag)
        self._meta = meta

    def _owned(self, write: Callable[[], str]) -> str:
        self.ensure()
        try:
            return write()
        except NotOwner:
            self._lease.lost_elsewhere()
            self.ensure()
            raise
        except Changed:
            self._lease.check()
            raise StateConflict(
                "The state was written without the lock, by hand or by another program. Nothing was overwritten. Run "
                "the operation again."
            ) from None

    def _same(self, target: Snapshot) -> bool:
        base = self._base
        return replace(target, serial=base.serial, epoch=base.epoch, absorbed=base.absorbed) == base
