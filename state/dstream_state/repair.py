"""Repair: restores a consistent state from the intact parts of damaged content, metadata or journals.

The snapshot is the content, where it is whole and not older than the history; else the newest snapshot of the history.
Journals that continue it are replayed, damaged ones up to the damage. Nothing is deleted: what cannot be used is kept
as files `aside/...`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dstream_state.checksum import digest
from dstream_state.errors import JournalMismatch, StateConflict, StateDamaged, StateError
from dstream_state.history import History
from dstream_state.holder import this_holder
from dstream_state.journal import JournalWriter, log_name, new_name, salvage_journal
from dstream_state.lease import Clock, Lease
from dstream_state.lock_metadata import Meta
from dstream_state.records import Record
from dstream_state.repair_findings import Repair
from dstream_state.sealing import Sealer, read_snapshot
from dstream_state.snapshot import Snapshot
from dstream_state.state_lock import STATE, StoredHeld, fresh_records
from dstream_state.storage import Missing, Storage, Stored
from dstream_state.task_store import StoredTask, task_names
from dstream_state.verification import state_problem


def examine(storage: Storage, sealer: Sealer | None) -> Repair:
    """Return what there is to repair; nothing is written.

    Raises WrongKey, EncryptionRequired, FormatTooNew; StateError where no snapshot can be read.
    """
    try:
        stored = storage.read(STATE)
    except Missing:
        stored = Stored(b"", {}, "")
    return _Examination(storage, sealer, stored).result()


def carry_out(storage: Storage, lease: Lease, sealer: Sealer | None, found: Repair, clock: Clock) -> Snapshot:
    """Do what `examine` found, under the lease on the state, and return the state as written."""
    stored = storage.read(STATE)
    if _Examination(storage, sealer, stored).result() != found:
        raise StateConflict("Something else has to be repaired by now. Run `dstream state repair` again.")
    holder = this_holder("state repair", lease.id)
    if not found.kept and stored.content.strip():
        storage.put(f"aside/state-{found.meta.serial}-{digest(stored.content)[:8]}", stored.content)
    for name in found.broken:
        storage.put(f"aside/{name}", storage.read_log(log_name(name)).content)
    base = found.snapshot
    if base is not None:
        base = replace(base, serial=max(base.serial, found.meta.serial))
    lineage, serial = (base.lineage, base.serial) if base else (found.meta.lineage or Snapshot.new().lineage, 0)
    journal = JournalWriter(storage, new_name(), lineage, serial, sealer, lease.ensure)
    meta = Meta(
        lineage=lineage,
        epoch=max(found.meta.epoch, base.epoch if base else 0) + 1,
        serial=serial,
        journals=(*found.journals, journal.name),
        holder=holder,
        sha256=digest(found.document) if base else "",
    )
    # Broken journals stay listed until their records are part of the state.
    listed = replace(meta, journals=(*found.journals, *found.broken, journal.name))
    tag = storage.write_meta(STATE, listed.store(), lease.id, stored.tag)
    held = StoredHeld(storage, lease, journal, base, meta, tag, sealer, holder)
    try:
        held.recover()
        held.append(found.salvaged)
        held.rewrite()
        written = held.finish()
    finally:
        held.release()
    for task in found.tasks:
        StoredTask(storage, task, sealer, clock).repair()
    return written


class _Examination:
    """One look at everything that is stored."""

    def __init__(self, storage: Storage, sealer: Sealer | None, stored: Stored) -> None:
        self._storage, self._sealer, self._stored = storage, sealer, stored
        self._problems: list[str] = []
        self._steps: list[str] = []

    def result(self) -> Repair:
        """Return what was found."""
        meta, listed = self._metadata()
        content = self._content()
        problem = state_problem(self._storage, self._stored.content, content, meta) if listed else None
        if problem is not None:
            self._problems.append(problem)
        kept = not self._problems
        snapshot, document = (content, self._stored.content) if kept else self._choose(content, meta)
        kept = kept or document == self._stored.content
        journals, broken, salvaged = self._journals(meta, listed, snapshot)
        tasks = self._tasks()
        problems, steps = tuple(self._problems), tuple(self._steps)
        return Repair(problems, steps, snapshot, document, kept, meta, journals, broken, salvaged, tasks)

    def _metadata(self) -> tuple[Meta, bool]:
        """Return the metadata, and whether it can be believed."""
        try:
            meta = Meta.load(self._stored.meta)
        except StateDamaged as damage:
            self._problems.append(f"The metadata cannot be read: {damage.reason}")
            return Meta(), False
        return meta, True

    def _content(self) -> Snapshot | None:
        if not self._stored.content.strip():
            return None
        try:
            return read_snapshot(self._stored.content, self._sealer)
        except StateDamaged as damage:
            self._problems.append(f"The state cannot be read: {damage.reason}")
            return None

    def _choose(self, content: Snapshot | None, meta: Meta) -> tuple[Snapshot | None, bytes]:
        """Return the best snapshot there is, with its document; None if nothing was ever applied."""
        past, document, at = self._newest(meta.lineage)
        fits = content is not None and content.lineage == (meta.lineage or (past.lineage if past else content.lineage))
        if content is not None and fits and (past is None or content.serial > past.serial or document == self._bytes):
            self._steps.append(f"The state keeps its content, serial {content.serial}, with new metadata")
            return content, self._bytes
        if past is not None:
            self._steps.append(f"The state becomes the snapshot with serial {past.serial}, written at {at}")
            if past.serial < meta.serial:
                self._steps.append(
                    f"The changes of serial {past.serial + 1} to {meta.serial} are lost: objects created then are not "
                    "in the state. Import them before the next apply"
                )
            return past, document
        if meta.serial or self._bytes.strip():
            raise StateError(
                f"{'. '.join(self._problems)}. There is no readable snapshot in the history either. With a copy of the "
                "state, run: dstream state push -force FILE."
            )
        return None, b""

    @property
    def _bytes(self) -> bytes:
        return self._stored.content

    def _newest(self, lineage: str) -> tuple[Snapshot | None, bytes, str]:
        """Return the newest snapshot of the history that can be read and has this lineage, if one is given."""
        history = History(self._storage)
        for kept in history.entries():
            try:
                snapshot, document = history.snapshot(kept.serial, self._sealer)
            except StateDamaged as damage:
                self._steps.append(f"The snapshot with serial {kept.serial} is passed over: {damage.reason}")
                continue
            if not lineage or snapshot.lineage == lineage:
                return snapshot, document, kept.at
        return None, b"", ""

    def _journals(
        self, meta: Meta, listed: bool, snapshot: Snapshot | None
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Record, ...]]:
        """Return the journals that continue the snapshot, those that are broken, and what can be read of the latter."""
        names = meta.journals if listed else [name.removeprefix(log_name("")) for name in self._storage.logs()]
        base = snapshot or Snapshot(meta.lineage)
        fit: list[str] = []
        broken: list[str] = []
        salvaged: list[Record] = []
        for name in names:
            good, records = self._journal(name, base, listed=listed)
            if good:
                fit.append(name)
            elif good is not None:
                broken.append(name)
                salvaged += records
        return tuple(fit), tuple(broken), tuple(salvaged)

    def _journal(self, name: str, base: Snapshot, *, listed: bool) -> tuple[bool | None, Sequence[Record]]:
        """Return whether a journal continues the snapshot (None: there is none), and its records if it does not."""
        try:
            journal, damage = salvage_journal(self._storage, name, self._sealer)
            records = fresh_records(journal, base if base.lineage else replace(base, lineage=journal.lineage))
        except Missing:
            if name not in base.absorbed:
                self._problems.append(f"Journal {name} is missing")
                self._steps.append(f"What journal {name} recorded is lost: compare the real objects with the state")
            return None, ()
        except JournalMismatch as problem:
            if listed:
                self._problems.append(problem.detail.partition(". ")[0])
            self._steps.append(f"Journal {name} is set aside, and its changes are not in the state")
            return False, ()
        if not damage:
            return True, ()
        self._problems.append(f"Journal {name} cannot be read after block {journal.last}: {damage}")
        self._steps.append(
            f"The {len(records)} records of journal {name} before the damage are taken in. What it recorded afterwards "
            "is lost: compare the real objects with the state"
        )
        return False, records

    def _tasks(self) -> tuple[str, ...]:
        found = []
        for name in task_names(self._storage):
            problem = StoredTask(self._storage, name, self._sealer, lambda: 0.0).problem()
            if problem is not None:
                found.append(name)
                self._problems.append(f"The checkpoint of task {name} cannot be used: {problem}")
                self._steps.append(
                    f"Task {name} keeps its checkpoint if that can be read, else it starts from the beginning"
                )
        return tuple(found)
