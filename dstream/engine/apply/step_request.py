"""Step requests: turns a step into the intent to record and the request to send to its provider.

Values that were unknown in the plan are evaluated here, with the results of earlier steps.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.apply.live_objects import LiveObjects
from dstream.engine.apply.step_graph import Step
from dstream.engine.evaluate.answer_errors import inconsistent_plan
from dstream.engine.evaluate.answer_values import described, inconsistencies
from dstream.engine.evaluate.conditions import check_preconditions
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.redaction import has_withheld, prior_for_provider, redact, reveal
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.evaluate.timeouts import seconds_for
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.plan.provider_plan import PlannedChange, PriorObject, plan_changes
from dstream.engine.plan.resource_diff import planned_identity, prior_attributes
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.refresh import NOT_REFRESHED
from dstream.lang import contains_unknown, to_json_value
from dstream.plan import Action, Change, with_defaults
from dstream.plan.ignore_changes import with_ignored
from dstream.plugins import Answer, Request
from dstream_state import NO_TIMEOUTS, Drop, Intent, ObjectState, Put, Record, Timeouts


class RunningStep(Struct):
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
    """The answer of the last attempt, if it may be retried."""


class StepRequests:
    """Builds the intents and requests for the steps of one plan."""

    def __init__(self, state: ApplyState, planned: PlanResult, live: LiveObjects) -> None:
        """Use a plan and the objects that exist when a step starts."""
        self._state, self._planned, self._live = state, planned, live
        self._ids = _fresh_ids()

    def prepare(self, step: Step, records: list[Record]) -> RunningStep:
        """Return a step that is ready to start; add further records to `records`.

        Raises DiagnosticsError if it cannot start.
        """
        change = step.change
        spec = self._live.known_spec(change.provider, records)
        rules = self._live.rules(spec, change.type)
        prior = self._live.by_address.get(change.address + DEPOSED if step.deposed else change.address)
        desired = None if step.kind == "destroy" else self._planned.desired[change.address]
        if desired is not None:
            planned = not desired.unknown and change.address in self._planned.answers.planned_changes
            if desired.unknown:
                desired = self._evaluated_again(desired)
            if rules.plans and not desired.unknown:
                if not planned:
                    desired = self._planned_again(desired, spec, rules, prior if step.kind == "update" else None)
                rules = replace(rules, defaults={})  # the plan of its provider is complete
        if desired is not None:
            desired = self._ignoring(desired, change)
            problems = list(check_preconditions(desired, self._live.scope))
            if problems:
                raise DiagnosticsError(problems)
        if step.kind == "create" and change.action is Action.CREATE_THEN_DELETE and prior is not None:
            records += [Put(change.address + DEPOSED, prior), Drop(change.address)]
            self._live.by_address[change.address + DEPOSED] = self._live.by_address.pop(change.address)
            prior = None
        if step.kind == "create":
            prior = None
        identity = prior.identity if prior is not None else None
        if desired is not None and identity is None:
            identity = planned_identity(desired.attributes, rules)
        attributes = None if desired is None else with_defaults(desired.attributes, rules)
        timeouts = self._timeouts(step, desired, prior)
        seconds = seconds_for(timeouts, step.kind)
        redacted = None if desired is None else redact(attributes, desired.sensitive, self._state.key)
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
            prior=self._prior_attributes(prior, desired, change.address),
            private=self._private(prior, change.address),
            sensitive=None if desired is None else [list(path) for path in sorted(desired.sensitive, key=str)] or None,
            intent=intent.id,
            timeout=seconds,
        )
        return RunningStep(step, intent, request, desired, prior, rules, time.monotonic())

    def _timeouts(self, step: Step, desired: DesiredObject | None, prior: ObjectState | None) -> Timeouts:
        """Return the timeouts of a step: from the configuration, otherwise from the state."""
        address = step.change.address
        desired_object = desired or self._planned.desired.get(address)
        if desired_object is not None:
            return desired_object.timeouts
        recorded = prior.timeouts if prior is not None else NO_TIMEOUTS
        return self._planned.removed_timeouts.get(address, recorded)

    def _private(self, prior: ObjectState | None, address: str) -> Any:
        """Return the private state of an object: the refreshed one, otherwise the recorded one."""
        if prior is None:
            return None
        refreshed = self._planned.refreshed_objects.get(address, NOT_REFRESHED)
        return refreshed.private if refreshed.private is not None else prior.private

    def _planned_again(
        self, desired: DesiredObject, spec: ProviderSpec, rules: ResourceTypeRules, prior: ObjectState | None
    ) -> DesiredObject:
        """Plan an object whose attributes or provider were unknown in the plan.

        Names that it generated then are kept.
        """
        planned = self._planned.desired[desired.address].attributes
        kept = {name: value for name, value in planned.items() if not contains_unknown(value)}
        before = None
        if prior is not None:
            before = PriorObject(prior.identity, prior.attributes, self._private(prior, desired.address))
        proposed = replace(desired, attributes={**kept, **desired.attributes})
        again = plan_changes(self._state.pool.session(spec), [(proposed, before)], rules, self._state.key)[0]
        if not rules.normalizes:
            planned_by_provider = desired.address in self._planned.answers.planned_changes
            free = rules.computed if planned_by_provider else again.desired.attributes.keys()
            _require_same_plan(planned, again, rules, free=free, update=prior is not None)
        return again.desired

    def _prior_attributes(self, prior: ObjectState | None, desired: DesiredObject | None, address: str) -> Any:
        if prior is None:
            return None
        refreshed = self._planned.refreshed_objects.get(address, NOT_REFRESHED)
        paths = {*prior.sensitive, *(desired.sensitive if desired is not None else ())}
        before = prior_attributes(prior, refreshed, paths, self._state.key) or {}
        proposed = desired.attributes if desired is not None else None
        return prior_for_provider(before, paths, self._state.key, proposed, prior.attributes, refreshed.attributes)

    def _evaluated_again(self, desired: DesiredObject) -> DesiredObject:
        if desired.evaluate is None:
            spec = self._live.spec(desired.provider)
            info = self._state.pool.installed(spec).info
            attributes = {"config": spec.wire(info), "version": info.version}
            return replace(desired, attributes=attributes)
        attributes, paths = desired.evaluate(self._live.scope)
        if contains_unknown(attributes):
            raise DiagnosticsError(
                error(
                    "Value unknown after apply",
                    "What this object needs was applied, and did not give the value. Its provider does not "
                    "return an attribute that it announced.",
                    address=desired.address,
                )
            )
        return replace(desired, attributes=attributes, sensitive=desired.sensitive | paths)

    def _ignoring(self, desired: DesiredObject, change: Change) -> DesiredObject:
        """Return an object with its ignored attributes set to their real values; a new object has none.

        A secret whose real value is unknown keeps its configured value, since a provider accepts no placeholder.
        """
        ignored = desired.lifecycle.ignore_changes
        if change.before is None or change.action.replaces or not ignored:
            return desired
        refreshed = self._planned.refreshed_objects.get(desired.address)
        real = reveal(change.before, refreshed.attributes if refreshed is not None else None)
        names = ("*",) if ignored == "all" else ignored
        attributes = with_ignored(desired.attributes, real, names, lambda value: not has_withheld(value))
        return replace(desired, attributes=attributes)


def _require_same_plan(
    planned: Mapping[str, Any], again: PlannedChange, rules: ResourceTypeRules, *, free: Collection[str], update: bool
) -> None:
    """Raise DiagnosticsError if a provider that is asked with all values known plans something else than before.

    `free` has the attributes that it may add.
    """
    desired = again.desired
    found = list(inconsistencies(planned, desired.attributes, rules.schema, free))
    reasons = [described(found, desired.sensitive)] if found else []
    if update and again.rules.replace:
        reasons.append(f"a replacement, forced by {', '.join(sorted(again.rules.replace))}, where it planned an update")
    if reasons:
        problem = inconsistent_plan(reasons, desired.address, desired.provider)
        raise DiagnosticsError(replace(problem, subject=desired.range))


def _fresh_ids() -> Iterator[str]:
    """Yield random UUIDs; random bytes are read from the system in batches."""
    while True:
        noise = os.urandom(16 * 256)
        for start in range(0, len(noise), 16):
            yield str(uuid.UUID(bytes=noise[start : start + 16], version=4))
