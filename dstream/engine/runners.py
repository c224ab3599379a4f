"""Runners: an apply and a run know each other. What a task needs is changed or removed only under its lease."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from dstream.engine.selection import task_of
from dstream.plan import Action, Plan
from dstream_state import Backend, Holder, StateLocked, TaskLease


@contextmanager
def runners_paused(backend: Backend, plan: Plan, operation: str, timeout: float) -> Iterator[dict[str, TaskLease]]:
    """Hold the leases of all flows whose tasks the plan disturbs, by flow name; raise StateLocked where one runs.

    A flow that never ran has no lease to take. Leases are taken in the order of their names, after that of the state.
    """
    tasks = disturbed_tasks(plan)
    with ExitStack() as stack:
        leases: dict[str, TaskLease] = {}
        for name in backend.tasks() if tasks else ():
            if belongs(name, tasks):
                try:
                    leases[name] = stack.enter_context(backend.task(name).acquire(operation, timeout))
                except StateLocked as problem:
                    raise _running(name, problem.holder) from None
        yield leases


def carry_checkpoints(backend: Backend, moved: Mapping[str, str], operation: str, timeout: float) -> None:
    """Give checkpoints and dead letters of moved tasks their new names; `moved`: earlier addresses by new ones."""
    for new, old in moved.items():
        before, after = old.removeprefix("task."), new.removeprefix("task.")
        for name in backend.tasks():
            if belongs(name, [before]):
                try:
                    with backend.task(name).acquire(operation, timeout) as lease:
                        lease.move(after + name[len(before) :])
                except StateLocked as problem:
                    raise _running(name, problem.holder) from None


def _running(flow: str, holder: Holder | None) -> StateLocked:
    hint = (
        "This plan changes or removes what the task needs. Stop its runner first, or wait with -lock-timeout=5m. "
        "Nothing was changed."
    )
    return StateLocked(holder, f"The task {flow}", hint)


def disturbed_tasks(plan: Plan) -> set[str]:
    """Return the tasks that lose or change an object by the plan, or are removed, without `task.`."""
    found = {note.address for note in plan.tasks if note.removed}
    for change in plan.changes:
        if change.action not in (Action.NO_OP, Action.CREATE, Action.DEFERRED):
            task = task_of(change.address)
            if task is not None:
                found.add(str(task))
    return {address.removeprefix("task.") for address in found}


def belongs(flow: str, tasks: Iterable[str]) -> bool:
    """Tell whether a flow is one of the tasks'."""
    return any(flow == task or flow.startswith(f"{task}/") for task in tasks)
