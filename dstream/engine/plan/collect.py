"""Collect: the results of the blocks planned so far, and the plan made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error, has_errors
from dstream.engine.evaluate.conditions import failed_checks
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.errors import unknown_target
from dstream.engine.evaluate.output_values import removed_outputs
from dstream.engine.evaluate.redaction import redact
from dstream.engine.evaluate.targeting import block_of_text, task_of
from dstream.engine.plan.block_checks import check_import_blocks, check_moved_blocks, check_removed_blocks
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.object_contents import with_contents
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.plan.planned import PlannedGroup, PlannedObject, replacement_records
from dstream.engine.plan.provider_plan import PlannedChange
from dstream.engine.plan.recorded_answers import RecordedAnswers, requirement_key
from dstream.engine.plan.removals import Removals, plan_removals
from dstream.engine.plan.renamed_types import warn_of_renamed_types
from dstream.engine.plan.resource_diff import drift_of
from dstream.engine.plan.shared_objects import check_shared_objects
from dstream.engine.plan.task_changes import removed_task
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.engine.refresh.refresh_only import refresh_records
from dstream.engine.setup.block_places import placed
from dstream.plan import Action, Change, Drift, OutputChange, Plan, TaskChange
from dstream_state import PutTask, Record


class PlannedBlocks:
    """The results of the blocks planned so far; only the fold adds to them."""

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        """Start with the errors and warnings found before the fold."""
        self.problems: list[Diagnostic] = list(problems)
        self.broken: set[str] = set()
        """Blocks with errors, and their dependents."""
        self.objects: dict[str, PlannedObject] = {}
        self.changes: dict[str, Change] = {}
        self.changed_blocks: set[str] = set()
        """Blocks with an object that is created, updated or replaced, for `replace_triggered_by`."""
        self.values: dict[str, Any] = {}
        """The evaluated attributes of declared objects."""
        self.by_provider: dict[str, PlannedChange] = {}
        self.required: dict[str, RequiredObjects] = {}
        """What each task requires, by the address of the task."""
        self.waiting_tasks: set[str] = set()
        """Tasks whose objects are not known yet: their prior objects stay."""
        self.outputs: list[OutputChange] = []
        self.tasks: list[TaskChange] = []

    def add(self, group: PlannedGroup) -> None:
        """Add the changes of a group."""
        self.problems += group.problems
        self.by_provider.update(group.by_provider)
        for planned in group.objects:
            self.objects[planned.desired.address] = planned
            self.changes[planned.desired.address] = planned.change
            if planned.change.action is not Action.NO_OP:
                self.changed_blocks.add(planned.desired.block)

    def defer(self, block: str, change: Change) -> None:
        """Add a task that is deferred because values are known only after apply."""
        self.changed_blocks.add(block)
        self.changes[change.address] = change

    def fail(self, block: str, problems: Iterable[Diagnostic]) -> None:
        """Add the errors of a block, and mark it as broken."""
        self.broken.add(block)
        self.problems.extend(problems)


def _not_replaceable(target: str, tasks: Iterable[TaskChange], changes: Mapping[str, Change]) -> Diagnostic:
    """Return the error for an address given to -replace that is not an object's."""
    if target not in {task.address for task in tasks}:
        return unknown_target(target, list(changes))
    objects = [address for address in changes if address.startswith(f"{target}.")]
    if objects:
        return error(
            "Unknown address", f"{target} is a task, and -replace takes an object. Its objects: {', '.join(objects)}."
        )
    detail = (
        f"{target} is a task, and -replace takes an object; this task has none. To start it again from the beginning: "
        f"dstream checkpoint reset {target.removeprefix('task.')}"
    )
    return error("Unknown address", detail)


def plan_result(context: PlanContext, planned: PlannedBlocks, pending: int) -> PlanResult:
    """Return the plan of all blocks; raise DiagnosticsError with all errors."""
    options, operation = context.options, context.operation
    problems, tasks, outputs = list(planned.problems), list(planned.tasks), list(planned.outputs)
    removals = Removals({}, {}, ())
    if not options.refresh_only:
        released = frozenset(address for each in planned.required.values() for address in each.released)
        removals = plan_removals(context, list(_leftovers(context, planned)), released)
        tasks += _removed_tasks(context, planned)
    problems += (*removals.problems, *context.prefetch.task_records.problems)
    changes = with_contents(context, {**planned.changes, **removals.changes})
    desired = {address: each.desired for address, each in planned.objects.items()}
    problems += (_not_replaceable(each, tasks, changes) for each in context.replaced if each not in changes)
    if options.plans_objects and context.selection.everything:
        outputs += removed_outputs(context.prior.outputs, context.config.outputs)
    if not options.destroy:
        problems += failed_checks(context.config, context.scope)
    drifts = _drifts(context)
    if options.plans_objects:
        problems += check_import_blocks(context, planned.objects, planned.broken, planned.waiting_tasks)
        problems += check_removed_blocks(context, planned.objects)
        problems += check_moved_blocks(context, planned.objects)
        problems += check_shared_objects(context, planned.objects)
        problems += warn_of_renamed_types(changes, desired)
    problems = [*placed(problems, context.config)]
    if has_errors(problems):
        raise DiagnosticsError(problems)
    context.prior.readdress(desired)
    snapshot = context.prior.snapshot
    plan = Plan(
        changes=tuple(changes[address] for address in sorted(changes)),
        drifts=tuple(drifts),
        outputs=tuple(outputs),
        tasks=tuple(tasks),
        diagnostics=tuple(problems),
        destroy=options.destroy,
        refresh_only=options.refresh_only,
        lineage=snapshot.lineage if snapshot.serial else None,
        serial=snapshot.serial,
        pending=pending,
        workspace=operation.workspace,
        variables=_variables(context),
        made_at=operation.module.planned_at,
    )
    refreshed = _refreshed(context)
    return PlanResult(
        plan=plan,
        snapshot=snapshot,
        desired=desired,
        specs=dict(context.prefetch.specs),
        tasks=dict(context.prefetch.tasks),
        required=planned.required,
        refreshed_objects=refreshed,
        resource_values=context.values,
        block_needs={name: context.dependencies.of(name) for name in operation.needs},
        state_updates=tuple(_state_updates(context, planned, drifts)),
        moved_tasks=context.prior.moved_tasks,
        answers=_answers(context, planned, refreshed),
        removed_timeouts=removals.timeouts,
    )


def _leftovers(context: PlanContext, planned: PlannedBlocks) -> Iterator[str]:
    """Yield the addresses of the selected prior objects that are not declared."""
    for address in context.prior.objects:
        if address in planned.changes or not context.selection.has(address):
            continue
        if block_of_text(address) in planned.broken or str(task_of(address)) in planned.waiting_tasks:
            continue
        yield address


def _removed_tasks(context: PlanContext, planned: PlannedBlocks) -> Iterator[TaskChange]:
    """Yield the change of each applied task that is no longer configured, or that is destroyed."""
    configured = set() if context.options.destroy else set(context.prefetch.tasks)
    for address in sorted(context.prior.tasks):
        if address in configured or address in context.prior.task_origins or not context.selection.has(address):
            continue
        if block_of_text(address) not in planned.broken:
            yield removed_task(context, address)


def _drifts(context: PlanContext) -> list[Drift]:
    found = []
    for address in sorted(context.prefetch.requested):
        item = context.prior.objects.get(address)
        if item is None:
            continue
        rules = context.schemas.prior_rules(context.prefetch.specs.get(item.provider), item.type)
        refreshed = context.prefetch.refreshed_at(address)
        drift = drift_of(address, item, refreshed, context.key, rules.unordered)
        if drift is not None:
            found.append(drift)
    return found


def _refreshed(context: PlanContext) -> dict[str, RefreshedObject]:
    prior = context.prior
    addresses = (*context.prefetch.requested, *prior.previous_addresses, *prior.imported)
    return {address: context.prefetch.refreshed(address) for address in addresses}


def _variables(context: PlanContext) -> dict[str, Any]:
    found = {}
    for name, value in context.operation.module.variables.items():
        clear, paths = split_sensitive({"value": value})
        found[name] = redact(clear, paths, context.key)["value"]
    return found


def _state_updates(context: PlanContext, planned: PlannedBlocks, drifts: Iterable[Drift]) -> Iterator[Record]:
    prior = context.prior
    yield from prior.upgrade_records()
    if context.options.refresh_only:
        refreshed = {drift.address: context.prefetch.refreshed(drift.address) for drift in drifts}
        encrypted = context.operation.encrypted
        yield from refresh_records(drifts, prior.objects, refreshed, encrypted=encrypted)
        return
    yield from prior.move_records()
    yield from replacement_records(planned.objects, prior.objects)
    for address, required in planned.required.items():
        task = prior.tasks.get(address)
        if task is not None and any(flow in context.options.discovered for flow in required.streams):
            yield PutTask(address, replace(task, discovered=required.discovered))


def _answers(context: PlanContext, planned: PlannedBlocks, refreshed: Mapping[str, RefreshedObject]) -> RecordedAnswers:
    derivations = {
        requirement_key(*where): answer
        for required in planned.required.values()
        for where, answer in required.answers.items()
    }
    configs = {spec.name: spec.config for spec in context.prefetch.specs.values()}
    return RecordedAnswers(planned.values, configs, refreshed, derivations, planned.by_provider)
