"""Planner: the fold over the blocks of a configuration, from the prior state to a plan.

Errors of different blocks are collected; dependents of a broken block are skipped, so that an error is reported once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msgspec.structs import replace

from dstream.addresses import ResourceAddress
from dstream.config import ResourceBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.conditions import check_postconditions, require_conditions
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.output_values import output_change
from dstream.engine.evaluate.targeting import read_address
from dstream.engine.plan.collect import PlannedBlocks, plan_result
from dstream.engine.plan.context import PlanContext, open_context
from dstream.engine.plan.evaluated import EvaluatedBlock, ObjectGroup, evaluate_resource, evaluate_task
from dstream.engine.plan.object_values import planned_value, prior_value
from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.planned import PlannedGroup, plan_group
from dstream.engine.plan.recorded_answers import RecordedAnswers
from dstream.engine.plan.refreshed import refresh_group
from dstream.engine.plan.replace_triggers import by_instance, trigger_reason
from dstream.engine.plan.task_changes import task_change
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.task_instance import TaskInstance
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream.plan import Action, Change, Reason, has_unknown_part
from dstream_state import V1_LIFECYCLE, Snapshot


def make_plan(
    operation: Operation,
    snapshot: Snapshot,
    pool: ProviderPool,
    options: PlanOptions,
    *,
    pending: int = 0,
    saved: RecordedAnswers | None = None,
) -> PlanResult:
    """Return the plan from the prior state to the configuration; raise DiagnosticsError with all errors.

    `pending` is the number of records of an unfinished operation in `snapshot`. With the answers of a saved plan in
    `saved`, providers are asked only for the secrets that it does not have.
    """
    context = open_context(operation, snapshot, pool, options, saved)
    fold = _Fold(context)
    try:
        fold.planned.problems += context.prefetch.start_early()
        for name in operation.graph.in_order():
            if name in context.selection:
                fold.block(name)
    finally:
        context.prefetch.stop()
        pool.end_planning()
    return plan_result(context, fold.planned, pending)


class _Fold:
    """Plans one block after the other, and collects the results in `planned`."""

    def __init__(self, context: PlanContext) -> None:
        self._context = context
        self.planned = PlannedBlocks((*context.operation.module.warnings, *context.prior.problems))

    def block(self, name: str) -> None:
        """Plan one block and collect its errors; skip it if it depends on a broken block."""
        if any(needed in self.planned.broken for needed in self._context.operation.needs[name]):
            self.planned.broken.add(name)
        else:
            try:
                self._plan(name)
            except DiagnosticsError as problem:
                self.planned.fail(name, problem.diagnostics)
        kind, _, rest = name.partition(".")
        if name in self.planned.broken and (kind, rest) in self._context.config.resources:
            self._context.values.unknown(kind, rest)

    def _plan(self, name: str) -> None:
        kind, _, rest = name.partition(".")
        match kind:
            case "var" | "local":
                self._context.scope.lookup(kind).get(rest)
            case "provider":
                self._provider(rest)
            case "task":
                self._task(rest)
            case "output":
                self._output(rest)
            case _:
                self._resource(self._context.config.resources[kind, rest])

    def _provider(self, name: str) -> None:
        prefetch = self._context.prefetch
        try:
            prefetch.add_provider(name)
        except DiagnosticsError:
            # What its configuration needs may never have been created: its own objects are still destroyed.
            if not self._context.options.destroy or f"provider.{name}" in prefetch.specs:
                raise
            prefetch.add_prior_provider(name)

    def _output(self, name: str) -> None:
        context = self._context
        block, prior = context.config.outputs[name], context.prior.outputs.get(name)
        refresh_only = context.options.refresh_only
        if context.options.destroy or (refresh_only and prior is None):
            return
        require_conditions(block.preconditions, context.scope, "Precondition not met", f"output.{name}")
        change = output_change(block, prior, context.scope, context.key)
        if not (refresh_only and has_unknown_part(change.after)):
            self.planned.outputs.append(change)

    def _resource(self, block: ResourceBlock) -> None:
        context = self._context
        name = f"{block.type}.{block.name}"
        if not context.options.plans_objects:
            self._add_prior_values(block)
            return
        context.values.declare(
            block.type, block.name, keyed=block.for_each is not None, counted=block.count is not None
        )
        evaluated = evaluate_resource(context, block)
        if not context.selection.complete(name):
            self._add_prior_values(block)
        for group in self._objects(evaluated):
            for each in group.objects:
                make = partial(planned_value, context, each)
                context.values.set(block.type, block.name, each.desired.instance, make)
        if self._postconditions(evaluated):
            self.planned.broken.add(name)

    def _objects(self, evaluated: EvaluatedBlock) -> list[PlannedGroup]:
        """Pass the objects of a block through the stages."""
        context, planned = self._context, self.planned
        planned.values.update(evaluated.values)
        found = []
        for group in _by_trigger(evaluated):
            trigger = trigger_reason(
                evaluated.lifecycle,
                context.config.resources,
                planned.changes,
                planned.changed_blocks,
                _scope_of(group, context.scope),
            )
            refreshed = refresh_group(context, group, trigger)
            made = plan_group(context, refreshed, trigger)
            planned.add(made)
            found.append(made)
        return found

    def _postconditions(self, evaluated: EvaluatedBlock) -> list[Diagnostic]:
        """Collect the failed postconditions of the planned objects of a block."""
        context = self._context
        found: list[Diagnostic] = []
        for group in evaluated.groups:
            for each in group.objects:
                planned = self.planned.objects[each.address]
                if planned.desired.lifecycle.postconditions:
                    value = planned_value(context, planned)
                    found += check_postconditions(planned.desired, context.scope, value)
        self.planned.problems += found
        return found

    def _task(self, name: str) -> None:
        context = self._context
        own = context.prefetch.add_task(name)
        if not context.options.plans_objects:
            return
        block = context.config.tasks[name]
        names = InstanceNames(block.for_each, block.count)
        for task in own:
            scope = context.scope.bind(names.of(context.scope)[task.address.key])
            address = str(task.address)
            require_conditions(block.lifecycle.preconditions, scope, "Precondition not met", address)
            for side in task.sides:
                context.schemas.check_settings(side.spec)
            required = context.prefetch.required(task)
            self.planned.required[address] = required
            self._required(f"task.{name}", task, required, names)

    def _required(self, block: str, task: TaskInstance, required: RequiredObjects, names: InstanceNames) -> None:
        address = str(task.address)
        if required.problems:
            self.planned.fail(block, required.problems)
            self.planned.waiting_tasks.add(address)
            return
        self.planned.problems += (*required.warnings, *required.findings)
        if required.deferred or any(each.unknown for each in required.objects if each.type != V1_LIFECYCLE):
            self.planned.waiting_tasks.add(address)
            self.planned.defer(block, _deferred(task, required))
            return
        evaluated = evaluate_task(self._context, task, required, names)
        self._objects(evaluated)
        self._postconditions(evaluated)
        if self._context.selection.complete(block):
            self.planned.tasks.append(task_change(self._context, task, required))

    def _add_prior_values(self, block: ResourceBlock) -> None:
        """Set the values of a block to its prior attributes if it is not planned.

        Prior instances may have other keys than the block, if it has unapplied changes.
        """
        context = self._context
        context.values.unknown(block.type, block.name)
        for text in context.prior.in_block(f"{block.type}.{block.name}"):
            address = read_address(text)
            if isinstance(address, ResourceAddress):
                context.values.set(address.type, address.name, address.key, partial(prior_value, context, text))


def _by_trigger(evaluated: EvaluatedBlock) -> Iterable[ObjectGroup]:
    """Return the groups of a block, one for each object if `replace_triggered_by` depends on the instance."""
    if not by_instance(evaluated.lifecycle):
        return evaluated.groups
    return [replace(group, objects=(each,)) for group in evaluated.groups for each in group.objects]


def _scope_of(group: ObjectGroup, scope: Scope) -> Scope:
    """Return the scope of the only object of a group, otherwise that of all."""
    bind = group.objects[0].bind_instance if len(group.objects) == 1 else None
    return scope if bind is None else bind(scope)


def _deferred(task: TaskInstance, required: RequiredObjects) -> Change:
    waits = ", ".join(required.deferred) or "attributes that are known after apply"
    return Change(
        str(task.address),
        Action.DEFERRED,
        task.input.spec.name,
        "task",
        detail=f"waits for {waits}",
        reason=Reason.NEEDS_UNKNOWN,
    )
