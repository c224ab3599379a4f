"""Task leases: required resources of a task change only under its lease, so never while it runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from dstream.engine.evaluate.targeting import task_of
from dstream.plan import Action, Plan, Reason
from dstream_state import Backend, Holder, StateLocked, TaskLease
from dstream_state.processes import send, this_host

_HARMLESS = (Action.NO_OP, Action.CREATE, Action.DEFERRED)
STOP_SECONDS = 75.0
"""Seconds to wait for a stopping runner: its last checkpoint, or the lease of a killed one."""


class PauseOptions(Struct, frozen=True):
    """How an operation acquires the leases of running tasks."""

    operation: str
    timeout: float
    """Seconds to wait for a runner that was not asked to stop."""
    stop: bool = False
    """Whether to stop runners on this machine."""
    stopping: Callable[[str, Holder], None] = lambda _flow, _holder: None
    """Called for each flow whose runner is stopped."""


@contextmanager
def paused_runners(
    backend: Backend, plan: Plan, moved: Mapping[str, str], options: PauseOptions, on_lost: Callable[[], None]
) -> Iterator[dict[str, TaskLease]]:
    """Hold the leases of all flows whose tasks the plan changes, by flow name; raise StateLocked if one runs.

    Checkpoints and dead letters of moved tasks (`moved`: old addresses by new ones) are renamed first, which is
    idempotent if the apply is interrupted. A flow that never ran has no lease to take. Leases are taken in the order of
    their names, after that of the state. `on_lost` is called when one of them is lost: what it protects must not be
    changed any more.
    """
    tasks = disturbed_tasks(plan)
    renamed = {old.removeprefix("task."): new.removeprefix("task.") for new, old in moved.items()}
    with ExitStack() as stack:
        leases: dict[str, TaskLease] = {}
        signalled: set[tuple[int, int | None]] = set()

        def hold(names: Iterable[str]) -> None:
            for name in backend.tasks() if names else ():
                if name not in leases and belongs_to(name, names):
                    leases[name] = stack.enter_context(_acquire(backend, name, options, signalled))
                    leases[name].on_lost(on_lost)

        hold(renamed)
        for name, lease in leases.items():
            old = next(old for old in renamed if belongs_to(name, [old]))
            lease.move(renamed[old] + name[len(old) :])
        hold(tasks)
        yield leases


def _acquire(backend: Backend, flow: str, options: PauseOptions, signalled: set[tuple[int, int | None]]) -> TaskLease:
    store = backend.task(flow)
    try:
        return store.acquire(options.operation, 0 if options.stop else options.timeout)
    except StateLocked as problem:
        holder = problem.holder
        if not options.stop or holder is None:
            raise _running(flow, holder) from None
    if holder.host != this_host():
        raise StateLocked(holder, f"The task {flow}", "-stop-tasks stops runners of this machine alone.")
    if (holder.pid, holder.started) not in signalled:  # One process may run several flows.
        signalled.add((holder.pid, holder.started))
        options.stopping(flow, holder)
        send(holder.pid, holder.started, signal.SIGTERM)
    try:
        return store.acquire(options.operation, max(options.timeout, STOP_SECONDS))
    except StateLocked as problem:
        hint = f"It was asked to end {STOP_SECONDS:g} s ago. See `dstream status`; `dstream stop -force` kills it."
        raise StateLocked(problem.holder, f"The task {flow}", hint) from None


def move_checkpoints(backend: Backend, moved: Mapping[str, str], operation: str, timeout: float) -> None:
    """Rename checkpoints and dead letters of moved tasks; `moved` has old addresses by new ones."""
    for new, old in moved.items():
        before, after = old.removeprefix("task."), new.removeprefix("task.")
        for name in backend.tasks():
            if belongs_to(name, [before]):
                try:
                    with backend.task(name).acquire(operation, timeout) as lease:
                        lease.move(after + name[len(before) :])
                except StateLocked as problem:
                    raise _running(name, problem.holder) from None


def _running(flow: str, holder: Holder | None) -> StateLocked:
    hint = (
        "This plan changes or removes what the task needs. Stop its runner first (-stop-tasks does it here), or wait "
        "with -lock-timeout=5m. Nothing was changed."
    )
    return StateLocked(holder, f"The task {flow}", hint)


def disturbed_tasks(plan: Plan) -> set[str]:
    """Return the names, without `task.`, of tasks whose objects the plan changes or destroys, or that it removes.

    Objects that the task has released, or that no longer exist, do not count.
    """
    found = {note.address for note in plan.tasks if note.removed}
    for change in plan.changes:
        missing = change.action is Action.FORGET and change.reason is Reason.MISSING
        if change.action not in _HARMLESS and change.reason is not Reason.RELEASED and not missing:
            task = task_of(change.address)
            if task is not None:
                found.add(str(task))
    return {address.removeprefix("task.") for address in found}


def belongs_to(flow: str, tasks: Iterable[str]) -> bool:
    """Return whether a flow is one of the tasks'."""
    return any(flow == task or flow.startswith(f"{task}/") for task in tasks)
