"""Running flows: those of the configuration, and those that still run although their block is renamed or gone."""

from __future__ import annotations

from collections.abc import Collection

from dstream.diagnostics import DiagnosticsError
from dstream.engine.runs.flows import flow_names
from dstream.engine.setup.operation import Operation
from dstream_state import Holder
from dstream_state.processes import alive, this_host


def runner_of(operation: Operation, flow: str) -> Holder | None:
    """Return who runs a flow, or None; one on another machine may have died unnoticed."""
    holder = operation.backend.task(flow).read().holder
    if holder is None or holder.released:
        return None
    here = holder.host == this_host()
    return None if here and not alive(holder.pid, holder.started) else holder


def task_of_flow(flow: str) -> str:
    """Return the name of the task block that a flow belongs to: `copy` for `copy["a"]/audit`."""
    return flow.split("[", 1)[0].split("/", 1)[0]


def undeclared_runs(operation: Operation, declared: Collection[str]) -> list[str]:
    """Return the names of the flows that run and are not among the declared ones, sorted."""
    others = [name for name in operation.backend.tasks() if name not in declared]
    return sorted(name for name in others if runner_of(operation, name) is not None)


def flows_of(operation: Operation, task: str) -> list[str]:
    """Return the names of the flows of a task, or the one that is named, with those that run and are not declared.

    Raises DiagnosticsError if there is none.
    """
    selected = task.removeprefix("task.")
    try:
        declared = flow_names(operation, selected)
    except DiagnosticsError:
        if found := _of(selected, undeclared_runs(operation, ())):
            return found
        raise
    return [*declared, *_of(selected, undeclared_runs(operation, declared))]


def _of(selected: str, flows: Collection[str]) -> list[str]:
    return [name for name in flows if name == selected or name.startswith((f"{selected}/", f"{selected}["))]
