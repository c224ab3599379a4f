"""Apply: lock, recover, plan, ask, carry out, finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error, has_errors
from dstream.engine.apply.apply_state import ApplyState, locked_state
from dstream.engine.apply.executor import Executor
from dstream.engine.apply.finalize import unchanged_object_records, unchanged_task_records
from dstream.engine.apply.receipt import ReceiptWriter
from dstream.engine.apply.recovery import recover, recover_interrupted
from dstream.engine.apply.task_leases import PauseOptions, belongs_to, paused_runners
from dstream.engine.apply.unwritten import save_late_results, save_unwritten
from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.planner import make_plan
from dstream.engine.plan.policies import refuse_violations, with_policies
from dstream.engine.setup.block_places import placed
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.plan import Plan
from dstream.plan.file import PlanFile
from dstream.stopping import Stop
from dstream_state import (
    LeaseLost,
    Record,
    Result,
    Snapshot,
    StateConflict,
    StateError,
    StateUnavailable,
    overlay,
)

Approve = Callable[[Plan], bool]


class ApplyOptions(Struct, frozen=True):
    """How to apply."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    parallelism: int = 10
    lock_timeout: float = 0.0
    """Seconds to wait for the lock."""
    approval: str = "program"
    """What approved the plan, for the receipt: "-auto-approve", "prompt", "saved plan", or a program."""
    stop_tasks: bool = False
    """Whether to stop runners on this machine whose tasks the plan changes."""


class Outcome(Struct, frozen=True):
    """What an apply did."""

    plan: Plan
    approved: bool
    counts: dict[str, int] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    snapshot: Snapshot | None = None
    unchanged: frozenset[str] = frozenset()
    """The addresses whose change failed or was skipped."""

    @property
    def failed(self) -> bool:
        """Whether there is an error; the diagnostics also have the warnings of checks."""
        return has_errors(self.diagnostics)


def apply(
    operation: Operation,
    options: ApplyOptions,
    approve: Approve,
    observer: Observer,
    stop: Stop,
    saved: PlanFile | None = None,
) -> Outcome:
    """Apply the configuration, or a saved plan, if `approve` returns true for the plan.

    Raises DiagnosticsError if planning fails, StateError if the state is locked, lost or unreachable. Failures of
    single changes are in the outcome; successful changes are always recorded.
    """
    name = "destroy" if options.plan.destroy else "apply"
    stop.idle = True
    try:
        with locked_state(operation, name, options.lock_timeout, observer, stop) as state:
            if saved is None:
                recover_interrupted(state)
                planned = make_plan(operation, state.held.current(), state.pool, options.plan)
            else:
                from dstream.engine.plan.plan_file import replan_saved

                planned = replan_saved(operation, state.held.snapshot, state.pool, saved)
            planned = replace(planned, plan=with_policies(operation, planned.plan))
            refuse_violations(planned.plan)
            return _carry_out(state, options, approve, planned)
    finally:
        stop.idle = False


def _carry_out(state: ApplyState, options: ApplyOptions, approve: Approve, planned: PlanResult) -> Outcome:
    """Carry out a plan if it has changes and is approved."""
    plan, held = planned.plan, state.held
    if not plan.has_changes:
        unchanged = unchanged_object_records(planned, state.pool)
        unchanged += unchanged_task_records(planned, state.pool, state.key)
        if records := [*planned.state_updates, *unchanged]:
            held.append(records)
        return Outcome(plan, True, diagnostics=plan.diagnostics, snapshot=held.finish())
    if not approve(plan):
        held.finish()
        return Outcome(plan, False)
    receipt = ReceiptWriter(state, plan, options.approval)
    try:
        outcome = _perform(state, options, planned)
    except BaseException as problem:
        receipt.broken_off(problem)
        raise
    unwritten = receipt.ended(outcome.counts, set(outcome.unchanged), outcome.diagnostics, outcome.snapshot)
    return replace(outcome, diagnostics=(*outcome.diagnostics, *unwritten))


def _perform(state: ApplyState, options: ApplyOptions, planned: PlanResult) -> Outcome:
    """Perform an approved plan."""
    plan, held, stop = planned.plan, state.held, state.stop
    pause = PauseOptions(held.holder.operation, options.lock_timeout, options.stop_tasks, state.observer.stopping)
    backend = state.operation.backend
    with paused_runners(backend, plan, planned.moved_tasks, pause, state.pool.kill) as leases:
        stop.idle = False
        state.processes.record()
        executor = Executor(state, planned, options.parallelism)
        progress = executor.progress
        try:
            executor.run()
        except (LeaseLost, StateConflict) as problem:
            raise _with_unrecorded(state, executor.unrecorded, problem) from problem
        except StateUnavailable as problem:
            snapshot = _finished(state, executor.unrecorded)
            detail = f"{problem.detail} The changes made until then are in the state. Apply again."
            failure = error(problem.summary, detail)
            found = placed(progress.diagnostics, state.operation.config)
            return Outcome(plan, True, progress.counts, (failure, *found), snapshot, frozenset(progress.failed))
        if progress.cut_off and not stop.at_once:
            try:
                recover(state, progress.cut_off, planned.specs)
            except DiagnosticsError as problem:
                progress.diagnostics.extend(problem.diagnostics)
        snapshot = _finished(state)
        removed = {note.address.removeprefix("task.") for note in plan.tasks if note.removed}
        remaining = [name.removeprefix("task.") for name in snapshot.tasks]
        for flow, lease in leases.items():
            if belongs_to(flow, removed) and not belongs_to(flow, remaining):
                lease.archive()
    problems = placed(progress.diagnostics, state.operation.config)
    return Outcome(plan, True, progress.counts, problems, snapshot, frozenset(progress.failed))


def _finished(state: ApplyState, unrecorded: Sequence[Record] = ()) -> Snapshot:
    """Write the state, with `unrecorded` results; if the backend is unreachable, save it beside the configuration."""
    held = state.held
    try:
        return held.finish(overlay(held.current(), unrecorded) if unrecorded else None)
    except StateUnavailable as problem:
        file = save_unwritten(state.operation, held, unrecorded)
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


def _with_unrecorded(state: ApplyState, unrecorded: Sequence[Record], problem: StateError) -> StateError:
    """Save the objects that were created after the journal became unwritable; return the error that reports them."""
    open_ = state.held.current().intents
    unrecorded_creations = [
        replace(open_[result.intent], identity=result.object.identity, planned=True)
        for result in unrecorded
        if isinstance(result, Result)
        and result.object is not None
        and result.object.identity is not None
        and result.intent in open_
        and open_[result.intent].action == "create"
    ]
    if not unrecorded_creations:
        return problem
    file = save_late_results(state.operation, state.held, unrecorded_creations)
    count = "1 object was" if len(unrecorded_creations) == 1 else f"{len(unrecorded_creations)} objects were"
    return type(problem)(
        f"{problem.detail} {count} made and could not be recorded any more; what identifies them is in {file}: "
        f"`dstream state push {file.name}`, and the next apply takes them up."
    )
