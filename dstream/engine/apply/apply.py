"""Apply: lock, recover, plan, ask, carry out, finish.

The operation has one thread of its own, which alone decides; provider processes answer through a queue. What came in
since the last look becomes one durable block together with the intents of what may start now, so that a change costs
one short write, however large the state is, and nothing is started or reported before its cause is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from dstream.diagnostics import Diagnostic, DiagnosticsError, error, has_errors
from dstream.engine.apply.executor import Executor
from dstream.engine.apply.finalize import unchanged_object_records
from dstream.engine.apply.recovery import recover
from dstream.engine.apply.task_leases import PauseOptions, belongs_to, paused_runners
from dstream.engine.apply.unwritten import save_late_results, save_unwritten
from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.planner import make_plan
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec, spec_from_state
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.plan import Plan
from dstream.plan.file import PlanFile
from dstream.stopping import Stop
from dstream_state import (
    Held,
    LeaseLost,
    ProcessStarted,
    Record,
    Result,
    Snapshot,
    StateConflict,
    StateError,
    StateUnavailable,
    overlay,
)
from dstream_state.processes import this_host

Approve = Callable[[Plan], bool]


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How to apply."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    parallelism: int = 10
    lock_timeout: float = 0.0
    """Seconds to wait for the lock."""
    stop_tasks: bool = False
    """Whether runners on this machine are asked to end where the plan disturbs their tasks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an apply did."""

    plan: Plan
    approved: bool
    counts: dict[str, int] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    snapshot: Snapshot | None = None

    @property
    def failed(self) -> bool:
        """Whether anything went wrong; warnings of checks are in the diagnostics too."""
        return has_errors(self.diagnostics)


def apply(
    operation: Operation,
    options: ApplyOptions,
    approve: Approve,
    observer: Observer,
    stop: Stop,
    saved: PlanFile | None = None,
) -> Outcome:
    """Carry out what the configuration asks for, or a saved plan, if `approve` says yes to the plan.

    Raises DiagnosticsError where nothing could be planned, StateError where the state is locked, lost or out of reach.
    What failed on the way is in the outcome; what succeeded is recorded in any case.
    """
    name = "destroy" if options.plan.destroy else "apply"
    stop.idle = True
    try:
        with locked_pool(operation, name, options.lock_timeout, observer, stop) as (held, pool, processes):
            if saved is None:
                if held.unresolved:
                    processes.record()
                recover_interrupted(operation, held, pool, observer)
                prepared = make_plan(operation, held.current(), pool, options.plan)
            else:
                from dstream.engine.plan.plan_file import replan_saved

                prepared = replan_saved(operation, held.snapshot, pool, saved)
            return _under_lock(operation, options, approve, observer, stop, held, pool, processes, prepared)
    finally:
        stop.idle = False


class ProcessRecords:
    """Providers that the next operation has to end if this one is killed: from the moment that they may change things.

    Until then nothing is written, so that an apply that changes nothing leaves the state as it is.
    """

    def __init__(self, held: Held) -> None:
        """Record under the lock `held`."""
        self._held = held
        self._early: list[ProcessStarted] = []
        self._recording = False
        self._lock = threading.Lock()

    def started(self, pid: int, started: int | None) -> None:
        """Take note of a process, from any thread, before it is told anything."""
        process = ProcessStarted(pid, started, this_host())
        with self._lock:
            if not self._recording:
                self._early.append(process)
                return
        self._held.append([process])

    def record(self) -> None:
        """Record those that have started, and from now on each as it starts."""
        with self._lock:
            early, self._early, self._recording = self._early, [], True
        if early:
            self._held.append(early)


@contextmanager
def locked_pool(
    operation: Operation, name: str, timeout: float, observer: Observer, stop: Stop
) -> Iterator[tuple[Held, ProviderPool, ProcessRecords]]:
    """Hold the lock of the state, with a pool of providers that die with it, and are recorded in it when asked to."""
    with operation.backend.lock(name, timeout=timeout, on_wait=observer.waiting) as held:
        processes = ProcessRecords(held)
        pool = ProviderPool(operation, inherit_fds=held.inherit_fds, on_start=processes.started)
        held.on_lost(pool.kill)
        with pool, stop.listening(lambda: pool.kill() if stop.at_once else None):
            yield held, pool, processes


def recover_interrupted(operation: Operation, held: Held, pool: ProviderPool, observer: Observer) -> None:
    """Find out what became of changes that an earlier operation left open, before anything else is done."""
    specs = partial(prior_spec, operation, held)
    recover(held, held.unresolved, specs, pool, observer, encrypted=operation.encrypted)


def _under_lock(
    operation: Operation,
    options: ApplyOptions,
    approve: Approve,
    observer: Observer,
    stop: Stop,
    held: Held,
    pool: ProviderPool,
    processes: ProcessRecords,
    prepared: PlanResult,
) -> Outcome:
    plan = prepared.plan
    if not plan.has_changes:
        if records := [*prepared.state_updates, *unchanged_object_records(prepared, pool)]:
            held.append(records)
        return Outcome(plan, True, diagnostics=plan.diagnostics, snapshot=held.finish())
    if not approve(plan):
        held.finish()
        return Outcome(plan, False)
    how = PauseOptions(held.holder.operation, options.lock_timeout, options.stop_tasks, observer.stopping)
    with paused_runners(operation.backend, plan, prepared.moved_tasks, how, pool.kill) as leases:
        stop.idle = False
        processes.record()
        execution = Executor(operation, prepared, held, pool, observer, stop, options.parallelism)
        try:
            execution.run()
        except (LeaseLost, StateConflict) as problem:
            raise _with_late(operation, held, execution, problem) from problem
        except StateUnavailable as problem:
            snapshot = _finished(operation, held, execution.unrecorded)
            told = error(problem.summary, f"{problem.detail} What was done until then is in the state. Apply again.")
            return Outcome(plan, True, execution.counts, (told, *execution.diagnostics), snapshot)
        if execution.cut_off and not stop.at_once:
            try:
                recover(
                    held,
                    execution.cut_off,
                    lambda name: planned_or_prior_spec(prepared, operation, held, name),
                    pool,
                    observer,
                    encrypted=operation.encrypted,
                )
            except DiagnosticsError as problem:
                execution.diagnostics.extend(problem.diagnostics)
        snapshot = _finished(operation, held)
        removed = {note.address.removeprefix("task.") for note in plan.tasks if note.removed}
        for flow, lease in leases.items():
            if belongs_to(flow, removed) and not belongs_to(
                flow, (name.removeprefix("task.") for name in snapshot.tasks)
            ):
                lease.archive()
    return Outcome(plan, True, execution.counts, tuple(execution.diagnostics), snapshot)


def _finished(operation: Operation, held: Held, unrecorded: Sequence[Record] = ()) -> Snapshot:
    """Write the state, with what is in no journal; where it cannot be reached, save it and say how it gets back."""
    try:
        return held.finish(overlay(held.current(), unrecorded) if unrecorded else None)
    except StateUnavailable as problem:
        file = save_unwritten(operation, held, unrecorded)
        how = (
            f"Everything that was done is in the journal, and is saved in {file}: the next apply reads the journal; "
            f"should that be lost too, `dstream state push {file.name}` takes the file."
        )
        if unrecorded:
            how = (
                f"What was done is saved in {file}, and some of it is nowhere else. When the state can be reached "
                f"again: `dstream state push {file.name}`, before the next apply."
            )
        raise StateUnavailable(f"{problem.detail} {how}") from problem


def _with_late(operation: Operation, held: Held, execution: Executor, problem: StateError) -> StateError:
    """Save what providers made when nothing could be recorded any more; return the error, which then says so."""
    open_ = held.current().intents
    late = [
        replace(open_[result.intent], identity=result.object.identity, planned=True)
        for result in execution.unrecorded
        if isinstance(result, Result)
        and result.object is not None
        and result.object.identity is not None
        and result.intent in open_
        and open_[result.intent].action == "create"
    ]
    if not late:
        return problem
    file = save_late_results(operation, held, late)
    count = "1 object was" if len(late) == 1 else f"{len(late)} objects were"
    return type(problem)(
        f"{problem.detail} {count} made and could not be recorded any more; what identifies them is in {file}: "
        f"`dstream state push {file.name}`, and the next apply takes them up."
    )


def prior_spec(operation: Operation, held: Held, name: str) -> ProviderSpec:
    """Return the provider of a recorded object: as the state has it, else as the configuration does."""
    scope = operation.module.scope(resources=lambda root: {})
    recorded = held.current().providers.get(name)
    if recorded is not None:
        return spec_from_state(name, recorded, scope, operation.config)
    kind, _, rest = name.partition(".")
    block = operation.config.providers.get(rest) if kind == "provider" else None
    if block is None:
        raise DiagnosticsError(
            error(
                "Unknown provider", f"The state names the provider {name}, and neither it nor the configuration has it."
            )
        )
    return make_spec(name, block.launch, block.config, "resource", scope, operation.config, default=rest)


def planned_or_prior_spec(prepared: PlanResult, operation: Operation, held: Held, name: str) -> ProviderSpec:
    """Return a provider of the plan, or a recorded one."""
    return prepared.specs.get(name) or prior_spec(operation, held, name)
