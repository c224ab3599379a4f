"""Planning: configuration + recorded state + reality -> plan, in one pass over the blocks in order of need.

Everything that can wait for a process is started first: providers are found and probed together, recorded objects
are asked about and tasks are asked for their objects while the pass goes on. Problems of different blocks are
collected; a block that needs a broken one is left out, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from dstream.addresses import Key, ResourceAddress
from dstream.config import ResourceBlock
from dstream.diagnostics import DiagnosticsError, has_errors
from dstream.engine.evaluate.coercion import converted_arguments
from dstream.engine.evaluate.conditions import check_postconditions, failed_checks, require_conditions
from dstream.engine.evaluate.desired import AttributeValues, DesiredObject, split_sensitive
from dstream.engine.evaluate.errors import secret_not_kept, unknown_target
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.output_values import output_change, removed_outputs
from dstream.engine.evaluate.redaction import has_withheld, redact
from dstream.engine.evaluate.schema_validation import check_resource, check_settings
from dstream.engine.evaluate.targeting import block_of_text, task_of
from dstream.engine.evaluate.timeouts import timeouts_of
from dstream.engine.plan.errors import no_import_target, still_declared
from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.recorded_answers import RecordedAnswers, requirement_key
from dstream.engine.plan.resource_planner import Objects
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_requirements import TaskInstance, stream_names
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules
from dstream.engine.refresh.moved_blocks import within
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.engine.refresh.refresh_only import refresh_records
from dstream.engine.setup.block_graph import provider_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope, evaluate_body
from dstream.plan import Action, Change, OutputChange, Plan, Reason, TaskNote, contains_unknown
from dstream.plugins import ResourceSchema
from dstream_state import V1_LIFECYCLE, Drop, Put, PutTask, Record, Snapshot


def make_plan(
    operation: Operation,
    snapshot: Snapshot,
    pool: ProviderPool,
    options: PlanOptions,
    *,
    pending: int = 0,
    saved_answers: RecordedAnswers | None = None,
) -> PlanResult:
    """Return the plan that takes reality to the configuration; raise DiagnosticsError with all that is wrong.

    With the answers of a saved plan in `saved_answers`, nobody is asked for what it knows.
    """
    planner = _Planner(operation, snapshot, pool, options, saved_answers)
    return planner.run(pending)


class _Planner(Objects):
    def __init__(
        self,
        operation: Operation,
        snapshot: Snapshot,
        pool: ProviderPool,
        options: PlanOptions,
        saved_answers: RecordedAnswers | None = None,
    ) -> None:
        super().__init__(operation, snapshot, pool, options, saved_answers)
        self.evaluated: dict[str, Any] = {}
        self.notes: list[TaskNote] = []
        self.outputs: list[OutputChange] = []
        self.broken: set[str] = set()
        """Blocks with a problem, or that need one with a problem."""
        self.checked: set[str] = set()
        """Providers whose settings were held against their schema."""
        self.kept_tasks: set[str] = set()
        """Tasks whose objects are not known: what is recorded of them stays."""

    def run(self, pending: int) -> PlanResult:
        self.problems += self.sources.start_early()
        for name in self.operation.graph.in_order():
            if name in self.selected:
                self._visit(name)
        if not self.options.refresh_only:
            self._leftovers()
        known = list(self.changes)
        self.problems += (unknown_target(each, known) for each in self.replaced if each not in self.changes)
        if self.plans_objects and self.selected.everything:
            self.outputs += removed_outputs(self.snapshot.outputs, self.config.outputs)
        if not self.options.destroy:
            self.problems += failed_checks(self.config, self.scope)
        drifts = self._drifts()
        if self.plans_objects:
            self._check_blocks()
        if has_errors(self.problems):
            raise DiagnosticsError(self.problems)
        plan = Plan(
            changes=tuple(self.changes[address] for address in sorted(self.changes)),
            drifts=tuple(drifts),
            outputs=tuple(self.outputs),
            tasks=tuple(self.notes),
            diagnostics=tuple(self.problems),
            destroy=self.options.destroy,
            refresh_only=self.options.refresh_only,
            lineage=self.snapshot.lineage if self.snapshot.serial else None,
            serial=self.snapshot.serial,
            pending=pending,
            workspace=self.operation.workspace,
            variables=self._variables(),
            made_at=self.operation.module.planned_at,
        )
        refreshed_objects = {
            address: self._reality(address) for address in (*self.asked, *self.moves.origins, *self.adopted)
        }
        return PlanResult(
            plan,
            self.snapshot,
            self.desired,
            self.specs,
            self.tasks,
            refreshed_objects,
            self.resource_values,
            {name: self.needs(name) for name in self.blocks},
            tuple(self._state_updates()),
            {new: old for new, old in self.moves.tasks.items() if old in self.snapshot.tasks},
            self._answers(refreshed_objects),
            self.removed_timeouts,
        )

    def _answers(self, refreshed_objects: dict[str, RefreshedObject]) -> RecordedAnswers:
        said = self.sources.derivations.answers
        return RecordedAnswers(
            self.evaluated,
            {spec.name: spec.config for spec in self.specs.values()},
            refreshed_objects,
            {requirement_key(*each): answer for each, answer in said.items()},
            self._meant,
        )

    def _variables(self) -> dict[str, Any]:
        found = {}
        for name, value in self.operation.module.variables.items():
            clear, paths = split_sensitive({"value": value})
            found[name] = redact(clear, paths, self.key)["value"]
        return found

    def _state_updates(self) -> Iterable[Record]:
        for address, item in self.sources.upgraded.items():
            yield Put(address, item)
        if self.options.refresh_only:
            refreshed = {drift.address: self._reality(drift.address) for drift in self._drifts()}
            yield from refresh_records(
                self._drifts(), self.snapshot.resources, refreshed, encrypted=self.operation.encrypted
            )
            return
        for new, old in self.moves.origins.items():
            item, desired = self.snapshot.resources[new], self.desired.get(new)
            if desired is not None:
                # From a block into a task, or out of it: another provider serves it, and calls it otherwise.
                item = self.moves.resources[new] = replace(item, provider=desired.provider, key=desired.key)
            yield Put(new, item)
            yield Drop(old)
        for address, item in self.adopted.items():
            yield Put(address, item)
        for old in self.moves.tasks.values():
            if old in self.snapshot.tasks:
                yield PutTask(old, None)
        for address, task in self.tasks.items():
            recorded = self.snapshot.tasks.get(address)
            if recorded is not None and any(flow in self.options.discovered for flow in task.streams):
                yield PutTask(address, replace(recorded, discovered=task.discovered))

    def _guard(self, name: str, step: Callable[[str], None], argument: str) -> None:
        """Run a step of a block; collect its problems, and leave out what needs a broken block."""
        if any(needed in self.broken for needed in self.blocks[name]):
            self.broken.add(name)
            return
        try:
            step(argument)
        except DiagnosticsError as problem:
            self.broken.add(name)
            self.problems.extend(problem.diagnostics)

    def _visit(self, name: str) -> None:
        kind, _, rest = name.partition(".")
        match kind:
            case "var" | "local":
                self._guard(name, self._value, name)
            case "provider":
                self._guard(name, self._provider, rest)
            case "task":
                self._guard(name, self._task, rest)
            case "output":
                if not self.options.destroy:
                    self._guard(name, self._output, rest)
            case _:
                self._guard(name, self._resource, name)
                if name in self.broken:
                    self.resource_values.unknown(kind, rest)

    def _value(self, name: str) -> None:
        kind, _, rest = name.partition(".")
        self.scope.lookup(kind).get(rest)

    def _provider(self, name: str) -> None:
        try:
            self.sources.add_provider(name)
        except DiagnosticsError:
            # What its configuration needs may never have been created: what it has itself is destroyed all the same.
            if not self.options.destroy or f"provider.{name}" in self.specs:
                raise
            self.sources.add_recorded(name)

    def _check_settings(self, spec: ProviderSpec) -> None:
        """Raise DiagnosticsError, once, for settings that a provider's schema does not take."""
        if spec.name in self.checked:
            return
        self.checked.add(spec.name)
        found = check_settings(spec.config, spec.body, self.pool.installed(spec).info, address=spec.name)
        if has_errors(found):
            raise DiagnosticsError(found)

    def _resource(self, name: str) -> None:
        type_, _, label = name.partition(".")
        block = self.config.resources[type_, label]
        if not self.plans_objects:
            self._export_recorded(block)
            return
        spec = self.specs[f"provider.{provider_of(block)}"]
        self.resource_values.declare(type_, label, keyed=block.for_each is not None, counted=block.count is not None)
        self._check_settings(spec)
        rules = self._rules(spec, type_, block)
        names = InstanceNames(block.for_each, block.count)
        found = [self._declared(block, key, names, spec, rules) for key in names.of(self.scope)]
        if not self.selected.whole(name):
            self._export_recorded(block)
            found = [desired for desired in found if self.selected.has(desired.address)]
        self._check_attributes(block, found, self.pool.installed(spec).info.resources[type_])
        found = self._as_provider_plans(spec, found, rules)
        self._check_absent(spec, found, rules)
        triggered = self._triggered(block.lifecycle)
        for desired in found:
            change = self._change(desired, spec, rules, triggered)
            made = partial(self._exported, desired, change)
            self.resource_values.set(type_, label, desired.instance, made)
            if block.lifecycle.postconditions:
                problems = list(check_postconditions(desired, self.scope, made()))
                self.problems += problems
                self.broken |= {name} if problems else set()

    def _check_attributes(self, block: ResourceBlock, found: Iterable[DesiredObject], schema: ResourceSchema) -> None:
        """Raise DiagnosticsError for the first instance whose attributes are not what its type takes."""
        for desired in found:
            problems = check_resource(schema, desired.attributes, desired.sensitive, block)
            if has_errors(problems):
                raise DiagnosticsError(problems)

    def _declared(
        self, block: ResourceBlock, key: Key, names: InstanceNames, spec: ProviderSpec, rules: ResourceTypeRules
    ) -> DesiredObject:
        address = str(ResourceAddress(block.type, block.name, key))

        planned = names.of(self.scope)[key]

        def bound(scope: Scope) -> Scope:
            return scope.bind(names.of(scope).get(key, planned))

        def evaluate_in(scope: Scope) -> AttributeValues:
            attributes, paths = split_sensitive(
                converted_arguments(rules.schema, evaluate_body(block.body, bound(scope)))
            )
            if paths and has_withheld(attributes):
                raise DiagnosticsError(secret_not_kept(block.range, address))
            return (attributes if self.saved_answers is None else self.saved_answers.value(address, attributes)), paths

        require_conditions(block.lifecycle.preconditions, bound(self.scope), "Precondition not met", address)

        attributes, paths = evaluate_in(self.scope)
        self.evaluated[address] = attributes
        return DesiredObject(
            address=address,
            block=f"{block.type}.{block.name}",
            provider=spec.name,
            type=block.type,
            key=address,
            attributes=attributes,
            sensitive=paths | rules.sensitive_paths,
            dependencies=self.needs(f"{block.type}.{block.name}"),
            lifecycle=block.lifecycle,
            range=block.range,
            instance=key,
            evaluate=evaluate_in,
            bind_instance=bound,
            timeouts=timeouts_of(block.timeouts, bound(self.scope)),
        )

    def _task(self, name: str) -> None:
        block_name = f"task.{name}"
        own = self.sources.add_task(name)
        if self.plans_objects:
            block = self.config.tasks[name]
            names = InstanceNames(block.for_each, block.count)
            for task in own:
                scope = self.scope.bind(names.of(self.scope)[task.address.key])
                require_conditions(block.lifecycle.preconditions, scope, "Precondition not met", str(task.address))
                for side in task.sides:
                    self._check_settings(side.spec)
                self.sources.derivations.finish(task)
                self._derived(task, block_name)

    def _derived(self, task: TaskInstance, block_name: str) -> None:
        address = str(task.address)
        if task.problems:
            self.problems.extend(task.problems)
            self.broken.add(block_name)
            self.kept_tasks.add(address)
            return
        self.problems.extend(task.warnings)
        specs = {side.spec.name: side.spec for side in task.sides}
        if task.deferred or any(desired.unknown for desired in task.required if desired.type != V1_LIFECYCLE):
            waits = ", ".join(task.deferred) or "attributes that are known after apply"
            self.kept_tasks.add(address)
            self.changed_blocks.add(block_name)
            self.changes[address] = Change(
                address,
                Action.DEFERRED,
                task.input.spec.name,
                "task",
                detail=f"waits for {waits}",
                reason=Reason.NEEDS_UNKNOWN,
            )
            return
        by_spec: dict[tuple[str, str], list[DesiredObject]] = {}
        names = InstanceNames(task.block.for_each, task.block.count)
        timeouts = timeouts_of(task.block.timeouts, self.scope.bind(names.of(self.scope)[task.address.key]))
        chosen = self.selected.chosen({each.address: each.dependencies for each in task.required})
        for each in (one for one in task.required if one.address in chosen):
            desired = replace(
                each,
                bind_instance=lambda scope: scope.bind(names.of(scope)[task.address.key]),
                timeouts=timeouts.over(each.timeouts),
            )
            by_spec.setdefault((desired.provider, desired.type), []).append(desired)
        for (spec_name, type_), found in by_spec.items():
            spec = specs[spec_name]
            rules = NO_RULES if type_ == V1_LIFECYCLE else self._rules(spec, type_, None)
            for desired in found:
                self.moves.take(desired.address, desired.aliases)
            found = self._as_provider_plans(spec, found, rules)
            self._check_absent(spec, found, rules)
            triggered = self._triggered(task.block.lifecycle)
            for desired in found:
                change = self._change(desired, spec, rules, triggered)
                if desired.lifecycle.postconditions:
                    self.problems += check_postconditions(desired, self.scope, self._exported(desired, change))
        if self.selected.whole(block_name):
            self._note(task)

    def _note(self, task: TaskInstance) -> None:
        address = str(task.address)
        notes = []
        if len(task.outputs) > 1:
            notes.append(f"the source is read {len(task.outputs)} times, once for each output")
        versions = [self.pool.installed(side.spec).info.protocol for side in task.sides]
        if min(versions) < 2:
            notes.append("delivery not confirmed: a provider speaks version 1 of the protocol")
        recorded = self.snapshot.tasks.get(address)
        unknown = any(side.spec.unknown for side in task.sides)
        unknown = unknown or any(flow in self.options.discovered for flow in task.streams)
        applied = not unknown and recorded is not None and recorded.fingerprint == task.fingerprint(self.pool, self.key)
        self.notes.append(TaskNote(address, applied, streams=stream_names(task), notes=tuple(notes)))

    def _output(self, name: str) -> None:
        block, recorded = self.config.outputs[name], self.snapshot.outputs.get(name)
        if self.options.refresh_only and recorded is None:
            return
        require_conditions(block.preconditions, self.scope, "Precondition not met", f"output.{name}")
        change = output_change(block, recorded, self.scope, self.key)
        if self.options.refresh_only and contains_unknown(change.after):
            return
        self.outputs.append(change)

    def _leftovers(self) -> None:
        """Delete what the state has and nothing asks for."""
        for address, item in self.snapshot.resources.items():
            if address in self.changes or not self.selected.has(address):
                continue
            block = block_of_text(address)
            if block in self.broken or str(task_of(address)) in self.kept_tasks:
                continue
            removal = self._removal(address, item)
            if removal is not None:
                self.changes[address] = removal
        configured = set() if self.options.destroy else {str(task.address) for task in self.tasks.values()}
        moved = set(self.moves.tasks.values())
        for address in sorted(self.snapshot.tasks):
            if address not in configured and address not in moved and self.selected.has(address):
                if block_of_text(address) in self.broken:
                    continue
                self.notes.append(TaskNote(address, applied=False, removed=True))

    def _check_blocks(self) -> None:
        """Report `import` and `removed` blocks that do not fit what is declared."""
        for block in sorted(self.imports.blocks() - self.broken):
            if block in self.blocks and block not in self.selected:
                continue
            try:
                named = self.imports.of(block)
            except DiagnosticsError as problem:
                self.problems += problem.diagnostics
                continue
            waits = any(within(task, block) for task in self.kept_tasks)
            for each in named.values():
                if each.address not in self.desired and self.selected.has(each.address) and not waits:
                    self.problems.append(no_import_target(each.address, block in self.blocks, each.range))
        for removed in self.config.removed:
            still = next((address for address in self.desired if within(address, str(removed.from_))), None)
            if still is not None:
                self.problems.append(still_declared(still, removed.range))
