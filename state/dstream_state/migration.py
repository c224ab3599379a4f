"""Migration: one workspace's state, history, checkpoints and dead letters, copied to another place and compared there.

The old state is marked as moved only when everything in the new place is equal. A migration that was cut off is done
again from the beginning; what it copied already is not in the way.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from dstream_state.backend import Checkpoint, Moved, TaskLease
from dstream_state.checksum import digest
from dstream_state.errors import StateConflict, StateLocked, StateMismatch
from dstream_state.lease import Clock, Lease
from dstream_state.lock_metadata import Meta
from dstream_state.sealing import Sealer, read_snapshot
from dstream_state.snapshot import Snapshot
from dstream_state.state_lock import STATE
from dstream_state.storage import Busy, Storage
from dstream_state.task_store import StoredTask
from dstream_state.verification import state_problem


class Place(Struct, frozen=True):
    """One workspace in one place."""

    storage: Storage
    sealer: Sealer | None
    clock: Clock


def copy_state(source: Place, target: Place, tasks: Mapping[str, TaskLease]) -> Moved:
    """Copy what is in `source`, whose lock and the leases of all `tasks` are held and whose journals are replayed.

    Raises StateLocked, StateConflict where the target has another state, or something differs after the copy.
    """
    content = source.storage.read(STATE).content
    snapshot = read_snapshot(content, source.sealer)
    lease = Lease(target.storage, STATE, target.clock)
    try:
        lease.acquire(0, lambda: None)
    except Busy:
        raise StateLocked(None, "The state in the new place") from None
    try:
        stored = target.storage.read(STATE)
        meta = Meta.load(stored.meta)
        there = read_snapshot(stored.content, target.sealer) if stored.content.strip() else None
        _refuse_other(target, stored.content, there, meta, snapshot)
        files = [item.name for item in source.storage.files("")]
        for name in files:
            target.storage.put(name, source.storage.get(name))
        for task, held in tasks.items():
            if held.checkpoint is not None:
                with StoredTask(target.storage, task, target.sealer, target.clock).acquire("state migrate") as other:
                    other.store(held.checkpoint)
        lease.ensure()
        written = Meta(snapshot.lineage, max(meta.epoch, snapshot.epoch) + 1, snapshot.serial, sha256=digest(content))
        target.storage.write(STATE, content, written.store(), lease.id, stored.tag)
        _compare(source, target, content, files, {task: held.checkpoint for task, held in tasks.items()})
    finally:
        lease.release()
    counts = [sum(name.startswith(kind) for name in files) for kind in ("history/", "dead/")]
    checkpoints = sum(held.checkpoint is not None for held in tasks.values())
    return Moved(len(snapshot.resources), counts[0], checkpoints, counts[1])


def _refuse_other(target: Place, content: bytes, there: Snapshot | None, meta: Meta, snapshot: Snapshot) -> None:
    if there is None:
        if problem := state_problem(target.storage, content, None, replace(meta, journals=())):
            raise StateMismatch(problem)
        return
    where = target.storage.describe()
    if there.lineage != snapshot.lineage:
        raise StateConflict(
            f"{where} has another state already: lineage {there.lineage}, {len(there.resources)} objects. Nothing was "
            "moved. To use that state and leave the old one where it is, run: dstream init -reconfigure."
        )
    if there.serial > snapshot.serial or (meta.journals and not meta.moved):
        raise StateConflict(
            f"{where} has a newer state of the same lineage (serial {there.serial}, the old place {snapshot.serial}), "
            "or an unfinished apply. Nothing was moved. To use it, run: dstream init -reconfigure."
        )


def _compare(
    source: Place, target: Place, content: bytes, files: list[str], tasks: Mapping[str, Checkpoint | None]
) -> None:
    different = [name for name in files if target.storage.get(name) != source.storage.get(name)]
    if target.storage.read(STATE).content != content:
        different.append("the state")
    for task, checkpoint in tasks.items():
        found = StoredTask(target.storage, task, target.sealer, target.clock).read().checkpoint
        if found != checkpoint:
            different.append(f"the checkpoint of task {task}")
    if different:
        raise StateConflict(
            f"After the copy, {', '.join(different[:3])} in {target.storage.describe()} differs from the old place. "
            "The old state is unchanged and still in use. Run the migration again."
        )
