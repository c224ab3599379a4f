"""State edits: move, forget, untaint, pull, push, restore. No provider is started and no object is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.apply.task_leases import move_checkpoints
from dstream.engine.commands.plan import current_state
from dstream.engine.evaluate.targeting import DEPOSED, read_address
from dstream.engine.refresh.moved_blocks import readdressed, renamed, same_type, within
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream_state import (
    Drop,
    Held,
    HistoryEntry,
    JournalMismatch,
    Put,
    PutTask,
    Record,
    Snapshot,
    StateDamaged,
    StateMismatch,
)
from dstream_state.state_files import Pushed, load, push_with_checkpoints, restore, write_file
from dstream_state.state_files import pull as pulled


@contextmanager
def locked(operation: Operation, name: str, timeout: float, observer: Observer) -> Iterator[Held]:
    """Hold the lock of the state without providers."""
    with operation.backend.lock(name, timeout=timeout, on_wait=observer.waiting) as held:
        yield held


@contextmanager
def _replaceable(operation: Operation, name: str, timeout: float, observer: Observer) -> Iterator[Held]:
    """Hold the lock of a state that will be replaced, even if it or a journal is damaged."""
    try:
        held = operation.backend.lock(name, timeout=timeout, on_wait=observer.waiting)
    except (StateDamaged, StateMismatch, JournalMismatch):
        held = operation.backend.lock(name, timeout=timeout, on_wait=observer.waiting, set_aside=True)
    with held:
        yield held


def move(operation: Operation, source: str, target: str, timeout: float, observer: Observer) -> list[tuple[str, str]]:
    """Move an object, the instances of a block or the objects of a task; return the old and new address of each."""
    old, new = str(read_address(source)), str(read_address(target))
    with locked(operation, "state mv", timeout, observer) as held:
        snapshot = held.current()
        found = [address for address in snapshot.resources if within(address, old)]
        tasks = {renamed(address, old, new): address for address in snapshot.tasks if within(address, old)}
        if not found and not tasks:
            raise DiagnosticsError(_missing(old, snapshot))
        moved = [(address, renamed(address, old, new)) for address in sorted(found)]
        for address, target in moved:
            if not same_type(address, target):
                detail = f"{address} is a {snapshot.resources[address].type}, and {target} would be of another type."
                raise DiagnosticsError(error("Moved to another type", detail))
        taken = [target for _, target in moved if target in snapshot.resources]
        taken += [target for target in tasks if target in snapshot.tasks]
        if taken:
            what = "a task" if taken[0] in snapshot.tasks else "an object"
            detail = f"The state has {what} at {taken[0]} already; nothing was moved."
            raise DiagnosticsError(error("Address in use", detail))
        records: list[Record] = []
        for address, item in snapshot.resources.items():
            needs = tuple(renamed(needed, old, new) for needed in item.dependencies)
            if address in found:
                target = renamed(address, old, new)
                fresh = replace(readdressed(item, address, target, old, new), dependencies=needs)
                records += [Put(target, fresh), Drop(address)]
            elif needs != item.dependencies:
                records.append(Put(address, replace(item, dependencies=needs)))
        for target, address in tasks.items():
            records += [PutTask(target, snapshot.tasks[address]), PutTask(address, None)]
        if tasks:
            move_checkpoints(operation.backend, tasks, "state mv", timeout)
        held.append(records)
        held.finish()
    return moved


def forget(operation: Operation, addresses: list[str], timeout: float, observer: Observer) -> list[str]:
    """Remove objects from the state without destroying them; return their addresses."""
    with locked(operation, "state rm", timeout, observer) as held:
        snapshot = held.current()
        found: list[str] = []
        tasks: list[str] = []
        for address in addresses:
            parsed = read_address(address)
            name = f"{parsed}{DEPOSED}" if address.endswith(DEPOSED) else str(parsed)
            below = [each for each in snapshot.resources if within(each, name)]
            gone = [each for each in snapshot.tasks if within(each, name)]
            if not below and not gone:
                raise DiagnosticsError(_missing(name, snapshot))
            found += [each for each in sorted(below) if each not in found]
            tasks += [each for each in gone if each not in tasks]
        held.append([*(Drop(address) for address in found), *(PutTask(task, None) for task in tasks)])
        held.finish()
    return [*found, *tasks]


def untaint(operation: Operation, addresses: Sequence[str], timeout: float, observer: Observer) -> list[str]:
    """Clear taints and replacements that are not done yet, so that the objects stay; return their addresses."""
    with locked(operation, "untaint", timeout, observer) as held:
        snapshot = held.current()
        records: list[Record] = []
        for name in dict.fromkeys(str(read_address(address)) for address in addresses):
            item = snapshot.resources.get(name)
            if item is None:
                raise DiagnosticsError(_missing(name, snapshot))
            if item.status != "tainted" and not item.replacing:
                raise DiagnosticsError(error("Not tainted", f"{name} is {item.status} in the state; nothing was done."))
            records.append(
                Put(name, replace(item, status="ok" if item.status == "tainted" else item.status, replacing=""))
            )
        held.append(records)
        held.finish()
    return [record.address for record in records if isinstance(record, Put)]


def _missing(address: str, snapshot: Snapshot) -> Diagnostic:
    import difflib

    near = difflib.get_close_matches(address, list(snapshot.resources), n=1)
    hint = f"Did you mean {near[0]}?" if near else "`dstream state list` lists what there is."
    return error("Unknown address", f"The state has no {address}. {hint}")


def pull(operation: Operation, file: Path) -> None:
    """Write the state and the checkpoints to a file that `push_file` takes, encrypted where the state is."""
    write_file(file, pull_bytes(operation))


def pull_bytes(operation: Operation) -> bytes:
    """Return the bytes that `pull` writes."""
    return pulled(operation.backend, current_state(operation)[0], operation.encryption)


def push_file(operation: Operation, file: Path, timeout: float, observer: Observer, *, force: bool) -> Pushed:
    """Replace the state by a file that `pull` wrote, or that was saved when the backend was unreachable.

    Checkpoints of the file are stored for tasks that have none; with `force`, for all.
    """
    content = load(file, operation.encryption)
    locking = _replaceable if force else locked
    with locking(operation, "state push", timeout, observer) as held:
        return push_with_checkpoints(operation.backend, held, content, force=force)


def history(operation: Operation) -> list[HistoryEntry]:
    """Return the kept snapshots, newest first."""
    return operation.backend.history()


def restore_snapshot(operation: Operation, serial: int, timeout: float, observer: Observer) -> Snapshot:
    """Restore an earlier snapshot."""
    past = operation.backend.past(serial)
    with _replaceable(operation, "state restore", timeout, observer) as held:
        return restore(held, past)
