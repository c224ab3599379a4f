"""Preparing: from a step of a plan to the intent that is recorded and the request that its provider gets.

What was unknown when the plan was made is evaluated once more here, with what earlier steps brought about.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.step_graph import Step
from dstream.engine.evaluate.conditions import check_preconditions
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.redaction import has_withheld, prior_for_provider, redact, reveal
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.evaluate.timeouts import seconds_for
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.plan.provider_plan import PriorObject, plan_changes
from dstream.engine.plan.resource_diff import planned_identity, prior_attributes
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec
from dstream.engine.providers.task_instance import TaskInstance, task_instance
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules, rules_of
from dstream.engine.refresh.refresh import NOT_REFRESHED
from dstream.engine.setup.operation import Operation
from dstream.lang import contains_unknown, to_json_value
from dstream.plan import Action, Change
from dstream.plan.ignore_changes import with_ignored
from dstream.plugins import Answer, Request
from dstream_state import NO_TIMEOUTS, Drop, Intent, ObjectState, Put, PutProvider, Record, Timeouts


@dataclass(slots=True)
class RunningStep:
    """One step that a provider is working on."""

    step: Step
    intent: Intent
    request: Request
    desired: DesiredObject | None
    prior: ObjectState | None
    rules: ResourceTypeRules
    began: float
    attempts: int = 0
    not_before: float = 0.0
    last: Answer | None = None
    """What the provider said when it failed for now."""


class StepRequests:
    """What the steps of one plan are made from; `objects` are those that exist, as steps leave them."""

    def __init__(self, operation: Operation, prepared: PlanResult, pool: ProviderPool) -> None:
        """Prepare steps of `prepared.plan`."""
        self.operation, self.prepared, self.pool = operation, prepared, pool
        self.key = prepared.snapshot.hmac_key
        self.objects: dict[str, ObjectState] = dict(prepared.snapshot.resources)
        self.specs: dict[str, ProviderSpec] = dict(prepared.specs)
        self.scope = operation.module.scope(resources=prepared.resource_values)
        self._recorded_specs: set[str] = set()
        self._rules_of: dict[tuple[str, str], ResourceTypeRules] = {}
        self._ids = _fresh_ids()
        self._task_names: dict[str, InstanceNames] = {}

    def prepare(self, step: Step, records: list[Record]) -> RunningStep:
        """Return a step ready to begin; what else has to be recorded joins `records`.

        Raises DiagnosticsError where it cannot begin.
        """
        change = step.change
        spec = self.spec(change.provider, records)
        rules = self.rules(spec, change.type)
        prior = self.objects.get(change.address + DEPOSED if step.deposed else change.address)
        desired = None if step.kind == "destroy" else self.prepared.desired[change.address]
        if desired is not None and desired.unknown:
            desired = self._evaluated_again(desired)
            if rules.plans and desired.unknown is False:
                desired = self._planned_again(desired, spec, rules, prior if step.kind == "update" else None)
        if desired is not None:
            desired = self._ignoring(desired, change)
            problems = list(check_preconditions(desired, self.scope))
            if problems:
                raise DiagnosticsError(problems)
        if step.kind == "create" and change.action is Action.CREATE_THEN_DELETE and prior is not None:
            records += [Put(change.address + DEPOSED, prior), Drop(change.address)]
            self.objects[change.address + DEPOSED] = self.objects.pop(change.address)
            prior = None
        if step.kind == "create":
            prior = None
        identity = prior.identity if prior is not None else None
        if desired is not None and identity is None:
            identity = planned_identity(desired.attributes, rules)
        attributes = None if desired is None else with_defaults(desired.attributes, rules)
        timeouts = self._timeouts(step, desired, prior)
        seconds = seconds_for(timeouts, step.kind)
        redacted = None if desired is None else redact(attributes, desired.sensitive, self.key)
        intent = Intent(
            id=next(self._ids),
            action=step.kind,
            address=change.address + (DEPOSED if step.deposed else ""),
            provider=spec.name,
            type=change.type,
            key=change.key or change.address,
            identity=identity,
            desired=redacted,
            timeout=seconds,
            at=time.time(),
            planned=step.kind == "create" and identity is not None,
            dependencies=() if desired is None else desired.dependencies,
            timeouts=NO_TIMEOUTS if desired is None else timeouts,
        )
        request = Request(
            command="destroy" if step.kind == "destroy" else "init",
            type=change.type,
            key=change.key or change.address,
            identity=identity,
            desired=None if attributes is None else to_json_value(attributes),
            prior=self._told(prior, desired, change.address),
            private=self._private(prior, change.address),
            sensitive=None if desired is None else [list(path) for path in sorted(desired.sensitive, key=str)] or None,
            intent=intent.id,
            timeout=seconds,
        )
        return RunningStep(step, intent, request, desired, prior, rules, time.monotonic())

    def _timeouts(self, step: Step, desired: DesiredObject | None, prior: ObjectState | None) -> Timeouts:
        """Return what holds for a step: what the configuration says of its object, else what was recorded of it."""
        address = step.change.address
        asked_for = desired or self.prepared.desired.get(address)
        if asked_for is not None:
            return asked_for.timeouts
        recorded = prior.timeouts if prior is not None else NO_TIMEOUTS
        return self.prepared.removed_timeouts.get(address, recorded)

    def rules(self, spec: ProviderSpec, type_: str) -> ResourceTypeRules:
        """Return the rules of a type, by the provider's schema."""
        known = self._rules_of.get((spec.name, type_))
        if known is None:
            known = rules_of(self.pool.installed(spec).info, type_) or NO_RULES
            self._rules_of[spec.name, type_] = known
        return known

    def _private(self, prior: ObjectState | None, address: str) -> Any:
        """Return the provider's own note on an object: as it was refreshed, else as it was recorded."""
        if prior is None:
            return None
        refreshed = self.prepared.refreshed_objects.get(address, NOT_REFRESHED)
        return refreshed.private if refreshed.private is not None else prior.private

    def _planned_again(
        self, desired: DesiredObject, spec: ProviderSpec, rules: ResourceTypeRules, prior: ObjectState | None
    ) -> DesiredObject:
        """Have the provider plan once more what could not be planned whole; names that it generated then stay."""
        planned = self.prepared.desired[desired.address].attributes
        kept = {name: value for name, value in planned.items() if not contains_unknown(value)}
        before = None
        if prior is not None:
            before = PriorObject(prior.identity, prior.attributes, self._private(prior, desired.address))
        wish = replace(desired, attributes={**kept, **desired.attributes})
        return plan_changes(self.pool.session(spec), [(wish, before)], rules, self.key)[0].desired

    def _told(self, prior: ObjectState | None, desired: DesiredObject | None, address: str) -> Any:
        if prior is None:
            return None
        refreshed = self.prepared.refreshed_objects.get(address, NOT_REFRESHED)
        paths = {*prior.sensitive, *(desired.sensitive if desired is not None else ())}
        before = prior_attributes(prior, refreshed, paths, self.key) or {}
        wished = desired.attributes if desired is not None else None
        return prior_for_provider(before, paths, self.key, wished, prior.attributes, refreshed.attributes)

    def _evaluated_again(self, desired: DesiredObject) -> DesiredObject:
        if desired.evaluate is None:
            spec = self.specs[desired.provider]
            info = self.pool.installed(spec).info
            attributes = {"config": spec.wire(info), "version": info.version}
            return replace(desired, attributes=attributes)
        attributes, paths = desired.evaluate(self.scope)
        if contains_unknown(attributes):
            raise DiagnosticsError(
                error(
                    "Value is still not known",
                    "What this object needs was applied, and did not give the value. Its provider does not "
                    "return an attribute that it announced.",
                    address=desired.address,
                )
            )
        return replace(desired, attributes=attributes, sensitive=desired.sensitive | paths)

    def _ignoring(self, desired: DesiredObject, change: Change) -> DesiredObject:
        """Return what is wanted with the ignored attributes as they are.

        A secret that nobody can tell is as it is configured: a provider takes nothing else for it.
        """
        ignored = desired.lifecycle.ignore_changes
        if change.before is None or not ignored:
            return desired
        refreshed = self.prepared.refreshed_objects.get(desired.address)
        real = reveal(change.before, refreshed.attributes if refreshed is not None else None)
        names = ("*",) if ignored == "all" else ignored
        attributes = with_ignored(desired.attributes, real, names, lambda value: not has_withheld(value))
        return replace(desired, attributes=attributes)

    def spec(self, name: str, records: list[Record]) -> ProviderSpec:
        """Return a provider, its configuration as it is known by now; what the state has to know joins `records`."""
        spec = self.specs[name]
        if spec.unknown:
            spec = self._spec_again(spec)
            self.specs[name] = spec
        if name not in self._recorded_specs:
            info = self.pool.installed(spec).info
            recorded = spec.to_state(info.version)
            if self.prepared.snapshot.providers.get(name) != recorded:
                records.append(PutProvider(name, recorded))
            self._recorded_specs.add(name)
        return spec

    def _spec_again(self, spec: ProviderSpec) -> ProviderSpec:
        config = self.operation.config
        for task in self.prepared.tasks.values():
            for side in task.sides:
                if side.spec.name == spec.name:
                    fresh = self.task_again(task)
                    return next(each.spec for each in fresh.sides if each.spec.name == spec.name)
        block = config.providers[spec.name.partition(".")[2]]
        return make_spec(
            spec.name, block.launch, block.config, "resource", self.scope, config, default=spec.source.value
        )

    def task_again(self, task: TaskInstance) -> TaskInstance:
        """Evaluate the sides of a task once more, when what was unknown is known."""
        block = task.block
        names = self._task_names.setdefault(block.name, InstanceNames(block.for_each, block.count)).of(self.scope)
        return task_instance(block, task.address.key, self.scope.bind(names[task.address.key]), self.operation.config)


def _fresh_ids() -> Iterator[str]:
    """Yield random UUIDs; what is random is taken from the system for many at a time."""
    while True:
        noise = os.urandom(16 * 256)
        for start in range(0, len(noise), 16):
            yield str(uuid.UUID(bytes=noise[start : start + 16], version=4))


def with_defaults(attributes: Mapping[str, Any], rules: ResourceTypeRules) -> dict[str, Any]:
    """Return attributes with the defaults of their type, and without those that are null."""
    found = {name: value for name, value in rules.defaults.items() if value is not None}
    found.update((name, value) for name, value in attributes.items() if value is not None)
    return found
