"""Verification: content held against its metadata, so that lost, emptied, older and edited content is not believed."""

from __future__ import annotations

from dstream_state.checksum import digest
from dstream_state.history import History
from dstream_state.lock_metadata import Meta
from dstream_state.snapshot import Snapshot
from dstream_state.storage import Missing, Storage


def state_problem(storage: Storage, content: bytes, snapshot: Snapshot | None, meta: Meta) -> str | None:
    """Return what is wrong with a state, as a sentence without its full stop; None if it is the one written last.

    `snapshot` is what `content` stores, None where that is empty.
    """
    if snapshot is None:
        if meta.serial:
            return f"The state is empty or missing, and its metadata has serial {meta.serial}"
        return None if meta.journals else _trace(storage)
    if meta == Meta():
        return f"The state has serial {snapshot.serial}, and its metadata is missing"
    if meta.journals and meta.journals[-1] in snapshot.absorbed:
        return None  # Its holder wrote it, and had no time left to write the metadata.
    if meta.lineage and snapshot.lineage != meta.lineage:
        return f"The state has lineage {snapshot.lineage}, its metadata {meta.lineage}: it is another state"
    if snapshot.serial != meta.serial:
        than = "an older state" if snapshot.serial < meta.serial else "not the state that was written last"
        return f"The state has serial {snapshot.serial}, its metadata {meta.serial}: it is {than}"
    if meta.sha256 and digest(content) != meta.sha256:
        return f"The state has serial {snapshot.serial} like its metadata, but another SHA-256: it was edited"
    return None


def task_problem(content: bytes, serial: int | None, meta: Meta) -> str | None:
    """Return what is wrong with a task's checkpoint, whose document names `serial` (None: it names none)."""
    if not content.strip():
        return f"it is empty or missing, and its metadata has serial {meta.serial}" if meta.serial else None
    if serial is None:
        return None if not meta.sha256 or digest(content) == meta.sha256 else "it is older than its metadata, or edited"
    if meta == Meta():
        return "its metadata is missing"
    if serial < meta.serial:
        return f"it has serial {serial}, its metadata {meta.serial}: it is an older one"
    if serial == meta.serial and meta.sha256 and digest(content) != meta.sha256:
        return "it does not have the SHA-256 that its metadata has: it was edited"
    return None  # A newer one is that of a runner that had no time left to write the metadata.


def _trace(storage: Storage) -> str | None:
    """Return the evidence of a state that no longer exists."""
    kept = History(storage).entries()
    if kept:
        return f"The state is missing, and its history has a snapshot with serial {kept[0].serial}"
    for name in storage.logs():
        try:
            if storage.read_log(name).content.count(b"\n") > 1:
                return f"The state is missing, and {name} has records of an operation"
        except Missing:
            continue
    return None
