"""FirstRun: the first `run` of a task as it is configured records it, as apply would, if no object has to be changed.

A version 1 output's lifecycle is not run: the programs in the field run without it, and the next apply shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.apply_state import locked_state
from dstream.engine.apply.recovery import recover_interrupted
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.planner import make_plan
from dstream.engine.providers.task_settings import task_state
from dstream.engine.runs.flows import NotAsApplied, task_block
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.plan import Action, Change, Plan
from dstream.stopping import Stop
from dstream_state import V1_LIFECYCLE, PutTask, Snapshot

LOCK_TIMEOUT = 60.0
"""Seconds to wait for the lock of the state: another first run may hold it."""
_SHOWN = 5


def never_applied(operation: Operation, names: Sequence[str], snapshot: Snapshot) -> list[str]:
    """Return the addresses of those tasks of which the state has no instance."""
    found = dict.fromkeys(f"task.{task_block(operation, name).name}" for name in names)
    return [
        address
        for address in found
        if not any(each == address or each.startswith(f"{address}[") for each in snapshot.tasks)
    ]


def record_changed(
    operation: Operation, names: Sequence[str], found: NotAsApplied, observer: Observer, stop: Stop
) -> None:
    """Record tasks, by name, that were changed since they were applied; `found` reports that of one of them.

    Raises DiagnosticsError if anything has to be created or changed for them, or if that cannot be planned.
    """
    tasks = list(dict.fromkeys(f"task.{task_block(operation, name).name}" for name in names))
    try:
        record_first_run(operation, tasks, observer, stop, found.diagnostics[0].summary)
    except NotAsApplied:
        raise
    except DiagnosticsError as problem:
        raise DiagnosticsError([*found.diagnostics, *problem.diagnostics]) from None


def record_first_run(
    operation: Operation,
    tasks: Sequence[str],
    observer: Observer,
    stop: Stop,
    summary: str = "Task not applied",
) -> None:
    """Record tasks by address as applied.

    Raises NotAsApplied with `summary` if anything has to be created or changed for them, DiagnosticsError if that
    cannot be planned, StateError if the state is locked.
    """
    with locked_state(operation, "run", LOCK_TIMEOUT, observer, stop) as state:
        recover_interrupted(state)
        planned = make_plan(operation, state.held.current(), state.pool, PlanOptions(targets=tuple(tasks)))
        waiting = [change for change in planned.plan.changes if _has_to_wait(change)]
        if waiting:
            raise _refusal(planned.plan, waiting, tasks, summary)
        state.held.append(
            [
                PutTask(address, task_state(planned.tasks[address], planned.required[address], state.pool, state.key))
                for address in (task.address for task in planned.plan.tasks if not task.applied)
                if address in planned.required
            ]
        )
        state.held.finish()


def _has_to_wait(change: Change) -> bool:
    return change.changes_state and not (change.type == V1_LIFECYCLE and change.action is Action.CREATE)


def _refusal(plan: Plan, waiting: Sequence[Change], tasks: Sequence[str], summary: str) -> NotAsApplied:
    counts = plan.counts
    parts = [f"{counts[name]} to {name}" for name in ("add", "change", "destroy")]
    parts += [f"{counts['deferred']} deferred"] if counts["deferred"] else []
    shown = ", ".join(change.address for change in waiting[:_SHOWN]) + (", ..." if len(waiting) > _SHOWN else "")
    names = " ".join(task.removeprefix("task.") for task in tasks)
    first = tasks[0].removeprefix("task.")
    return NotAsApplied(
        error(
            summary,
            f"{', '.join(tasks)} requires changes first: {', '.join(parts)} ({shown}). To see and apply them, run: "
            f"dstream apply {first}\nTo do both in one step, run: dstream run {names} -apply\n"
            f"To run it as it is: dstream run {names} -unapplied",
            address=tasks[0],
        )
    )
