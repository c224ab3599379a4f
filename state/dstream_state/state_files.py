"""Moving whole states: `errored.dsstate`, push, pull, restore, and what a lost holder's providers still answered.

A file is the document in its stored form, with the checkpoints of tasks as one more member. One that could not be
written at the end of an operation also has the records which are in no journal; pushing it takes them in.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from dstream_state.apply_records import overlay
from dstream_state.backend import Backend, Checkpoint, Held
from dstream_state.checksum import checked_line, read_line
from dstream_state.codec import Json
from dstream_state.errors import StateConflict, StateDamaged, StateError
from dstream_state.local_files import read_file
from dstream_state.records import Intent, Record
from dstream_state.sealing import Sealer, read_document, read_records, records_form, snapshot_bytes
from dstream_state.snapshot import Snapshot

ERRORED = "errored.dsstate"
ORPHANS = "orphans.dsstate"
_ORPHANS = "orphans"
_CHECKPOINTS = "checkpoints"


class StateFile(Struct, frozen=True):
    """A file's content: a snapshot, records that are in no journal, and checkpoints by the name of their task.

    Or such records alone, for their lineage.
    """

    snapshot: Snapshot | None
    records: tuple[Record, ...] = ()
    lineage: str = ""
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)


class Pushed(Struct, frozen=True):
    """The state as written, and the tasks whose checkpoints were stored, and kept although the file has another."""

    snapshot: Snapshot
    stored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def save(path: Path, snapshot: Snapshot, sealer: Sealer | None = None, records: Sequence[Record] = ()) -> None:
    """Write a state file, readable by its owner alone, durably and whole."""
    content = file_bytes(snapshot, sealer, {})
    if records:
        content += _records_line(snapshot.lineage, records, sealer)
    _write(path, content)


def file_bytes(snapshot: Snapshot, sealer: Sealer | None, checkpoints: Mapping[str, Checkpoint]) -> bytes:
    """Return the content of a state file with the checkpoints of tasks."""
    forms = {name: checkpoint.to_json() for name, checkpoint in sorted(checkpoints.items())}
    return snapshot_bytes(snapshot, sealer, {_CHECKPOINTS: forms} if forms else None)


def pull(backend: Backend, snapshot: Snapshot, sealer: Sealer | None) -> bytes:
    """Return `snapshot`, the state of `backend` as of now, as a state file with the checkpoints of its tasks."""
    found = {name: backend.task(name).read().checkpoint for name in backend.tasks()}
    return file_bytes(snapshot, sealer, {name: each for name, each in found.items() if each is not None})


def write_file(path: Path, content: bytes) -> None:
    """Write a state file, readable by its owner alone, durably and whole."""
    _write(path, content)


def save_orphans(path: Path, lineage: str, intents: Sequence[Intent], sealer: Sealer | None = None) -> None:
    """Save intents whose providers answered after the lock was lost.

    `push` puts them up to be resolved again.
    """
    _write(path, _records_line(lineage, intents, sealer))


def save_errored(path: Path, held: Held, sealer: Sealer | None = None, records: Sequence[Record] = ()) -> None:
    """Save what could not be written at the end of an operation, so that `push` takes it afterwards.

    `records` are those whose append failed. The serial is the one that the state would have got.
    """
    save(path, replace(held.current(), serial=held.snapshot.serial + 1), sealer, records)


def load(path: Path, sealer: Sealer | None = None) -> StateFile:
    """Read a state file. Raises StateError, StateDamaged, WrongKey, EncryptionRequired, FormatTooNew."""
    try:
        content = read_file(path)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.") from error
    lines = content.splitlines()
    if lines and lines[0].startswith(f'{{"{_ORPHANS}":'.encode()):
        lineage, records = _read_line(lines[0], sealer, str(path))
        return StateFile(None, records, lineage)
    snapshot, form = read_document(lines[0] if lines else b"", sealer, str(path))
    try:
        checkpoints = {name: Checkpoint.from_json(each) for name, each in form.get(_CHECKPOINTS, {}).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise StateDamaged(str(path), f"its checkpoints are not valid: {error}") from error
    records = _read_line(lines[1], sealer, str(path))[1] if len(lines) > 1 else ()
    return StateFile(snapshot, records, snapshot.lineage, checkpoints)


def push(held: Held, file: StateFile, *, force: bool = False) -> Snapshot:
    """Make the file's snapshot the state, under the lock `held`, and return it as written.

    Refused (StateConflict) unless the lineage is the state's and the serial not below the state's; with
    `force` both are taken as they are. Intents among the file's records stay to be resolved by the next
    operation.
    """
    if file.snapshot is None:
        return _push_orphans(held, file)
    current, new = held.snapshot, file.snapshot
    nothing_yet = current.serial == 0 and not current.resources
    if not force and not nothing_yet:
        if new.lineage != current.lineage:
            raise StateConflict(
                f"The file has lineage {new.lineage}, the state {current.lineage}: they are different states. "
                "To replace the state anyway, use -force."
            )
        if new.serial < current.serial:
            raise StateConflict(
                f"The file has serial {new.serial}, the state {current.serial}: the state is newer. "
                "To replace the state anyway and discard the newer changes, use -force."
            )
    return held.finish(overlay(new, file.records))


def push_with_checkpoints(backend: Backend, held: Held, file: StateFile, *, force: bool = False) -> Pushed:
    """Do what `push` does, and store the checkpoints of the file for tasks that have none; with `force`, for all.

    A checkpoint that is older than the task's would move data again, a newer one would skip some. Raises StateLocked,
    before anything is written, while one of these tasks runs.
    """
    with contextlib.ExitStack() as stack:
        leases = {name: stack.enter_context(backend.task(name).acquire("state push")) for name in file.checkpoints}
        snapshot = push(held, file, force=force)
        stored, kept = [], []
        for name, lease in leases.items():
            checkpoint = file.checkpoints[name]
            if lease.checkpoint == checkpoint:
                continue
            if lease.checkpoint is None or force:
                lease.store(checkpoint)
                stored.append(name)
            else:
                kept.append(name)
    return Pushed(snapshot, tuple(stored), tuple(kept))


def restore(held: Held, past: Snapshot) -> Snapshot:
    """Make an earlier snapshot of the same state the current one; its serial keeps increasing."""
    return held.finish(replace(past, lineage=held.snapshot.lineage))


def _push_orphans(held: Held, file: StateFile) -> Snapshot:
    current = held.current()
    if file.lineage != current.lineage:
        raise StateConflict(f"The file belongs to the state with lineage {file.lineage}, not to {current.lineage}.")
    intents = [record for record in file.records if isinstance(record, Intent)]
    for intent in intents:
        there = current.resources.get(intent.address)
        taken = there is not None and there.status != "unresolved"
        if intent.action == "create" and taken and not _known(intent, current):
            raise StateConflict(
                f"{intent.address} has been created again. Look for the object of intent {intent.id} "
                f"({intent.type} {intent.key}) yourself: it may exist twice. Nothing was changed."
            )
    held.append([intent for intent in intents if not _known(intent, current)])
    return held.finish()


def _known(intent: Intent, current: Snapshot) -> bool:
    there = current.resources.get(intent.address)
    known = there is not None and there.status != "unresolved" and there.identity == intent.identity
    return known and intent.identity is not None


def _records_line(lineage: str, records: Sequence[Record], sealer: Sealer | None) -> bytes:
    form: dict[str, Json] = {_ORPHANS: lineage}
    return checked_line(form | records_form(records, sealer, _context(lineage)))


def _read_line(line: bytes, sealer: Sealer | None, what: str) -> tuple[str, tuple[Record, ...]]:
    form = read_line(line, what)
    if not isinstance(form, dict) or _ORPHANS not in form:
        raise StateDamaged(what, "its records have no lineage")
    lineage = str(form[_ORPHANS])
    return lineage, read_records(form, sealer, _context(lineage), what)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _context(lineage: str) -> str:
    return f"orphans {lineage}"
