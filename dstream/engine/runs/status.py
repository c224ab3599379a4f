"""Status: the deployed and running tasks, from the state and the leases; no provider is asked."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Struct, to_builtins

from dstream.engine.commands.plan import current_state
from dstream.engine.runs.flows import flow_names
from dstream.engine.runs.process_stats import containers_of, memory_of
from dstream.engine.runs.run_files import RunStatus, read_run_status
from dstream.engine.runs.running import flows_of, task_of_flow, undeclared_runs
from dstream.engine.setup.operation import Operation
from dstream_state import ProcessStarted, Snapshot
from dstream_state.processes import alive, this_host


class FlowStatus(Struct, frozen=True):
    """One flow of a task."""

    name: str
    holder: str | None
    """Who runs it, or None."""
    checkpoint_at: str | None
    position: Any
    dead_letters: int
    processes: tuple[str, ...]
    note: RunStatus | None = None
    """How its latest run on this machine is doing, or has ended."""
    containers: tuple[str, ...] = ()


class TaskStatus(Struct, frozen=True):
    """One task: `state` is not applied, applied, running, removed (applied, and no longer in the configuration), or
    "running, not in the configuration".
    """

    address: str
    state: str
    objects: int
    addresses: tuple[str, ...]
    flows: tuple[FlowStatus, ...]


class Status(Struct, frozen=True):
    """Everything that is deployed."""

    place: str
    serial: int
    pending: int
    holder: str | None
    tasks: tuple[TaskStatus, ...]
    others: int
    """Objects of `resource` blocks."""

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        return {"format_version": "1.0", **to_builtins(self)}


def status(operation: Operation, task: str | None, *, containers: bool = True) -> Status:
    """Return the status of everything, or of one task by name; `containers` are asked of their engines."""
    snapshot, pending = current_state(operation)
    view = operation.backend.read()
    if task is None:
        flows = {name: flow_names(operation, name) for name in operation.config.tasks}
        undeclared = undeclared_runs(operation, [flow for found in flows.values() for flow in found])
        recorded = {address.split("[", 1)[0] for address in snapshot.tasks}
        gone: dict[str, list[str]] = {address.removeprefix("task."): [] for address in recorded}
    else:
        declared = task_of_flow(task) in operation.config.tasks
        flows = {task: flows_of(operation, task)} if declared else {}
        undeclared, gone = ([] if declared else flows_of(operation, task)), {}
    for flow in undeclared:
        name = task_of_flow(flow)
        (flows if name in flows else gone).setdefault(name, []).append(flow)
    of_flow = partial(_flow, operation, containers=containers)
    tasks = [_task(snapshot, name, [of_flow(each) for each in found]) for name, found in flows.items()]
    tasks += [
        _removed(snapshot, name, [of_flow(each) for each in gone[name]]) for name in sorted(gone) if name not in flows
    ]
    held = view.holder is not None and not view.holder.released and _runs(view.holder)
    return Status(
        operation.backend.describe(),
        snapshot.serial,
        pending,
        view.holder.describe() if held and view.holder is not None else None,
        tuple(tasks),
        sum(not address.startswith("task.") for address in snapshot.resources),
    )


def _removed(snapshot: Snapshot, name: str, flows: list[FlowStatus]) -> TaskStatus:
    """Return the status of a task whose block is renamed or gone."""
    address = f"task.{name}"
    state = "running, not in the configuration" if flows else "removed"
    return TaskStatus(address, state, *_objects(snapshot, address), tuple(flows))


def _task(snapshot: Snapshot, name: str, flows: list[FlowStatus]) -> TaskStatus:
    address = f"task.{name}"
    applied = any(known.split("[", 1)[0] == address for known in snapshot.tasks)
    running = any(flow.holder for flow in flows)
    state = "running" if running else "applied" if applied else "not applied"
    return TaskStatus(address, state, *_objects(snapshot, address), tuple(flows))


def _objects(snapshot: Snapshot, address: str) -> tuple[int, tuple[str, ...]]:
    found = tuple(sorted(each for each in snapshot.resources if each.startswith((f"{address}.", f"{address}["))))
    return len(found), found


def _flow(operation: Operation, name: str, *, containers: bool) -> FlowStatus:
    store = operation.backend.task(name)
    view = store.read()
    holder = view.holder
    running = holder is not None and not holder.released and _runs(holder)
    return FlowStatus(
        name,
        holder.describe() if running and holder is not None else None,
        view.checkpoint.at if view.checkpoint is not None else None,
        view.checkpoint.position if view.checkpoint is not None else None,
        len(store.dead_letters.list()),
        tuple(_process(process) for process in view.processes) if running else (),
        read_run_status(operation.root, name),
        containers_of(holder) if containers and running and holder is not None else (),
    )


def _process(process: ProcessStarted) -> str:
    memory = memory_of(process.pid) if process.host == this_host() else None
    return f"pid {process.pid} on {process.host}" + (f", {memory / 1048576:.1f} MiB" if memory is not None else "")


def _runs(holder: Any) -> bool:
    """Return whether a holder may still run: True for another host, by its process on this one."""
    return holder.host != this_host() or alive(holder.pid, holder.started)
