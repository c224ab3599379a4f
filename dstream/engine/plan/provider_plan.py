"""Provider plans: the planned changes of types whose schema has `"plans": true`, as their provider returns them.

The answer has the planned attributes: generated names are included, values known after apply are unknown, and missing
attributes will be removed. All requests of a group are sent before the first answer is awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.evaluate.answer_errors import invalid_object
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.redaction import fingerprint_paths, prior_for_provider
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.lang import Unknown, to_json_value
from dstream.lang.markers import is_fingerprint
from dstream.plan import with_defaults
from dstream.plan.ignore_changes import with_ignored
from dstream.plugins import Answer, LegacyLifecycle, Request, ResourceSession


class PriorObject(Struct, frozen=True):
    """A prior object for its provider: identity, redacted attributes, private state, and known clear values."""

    identity: Any
    attributes: Mapping[str, Any]
    private: Any = None
    clear: Mapping[str, Any] | None = None


class PlannedChange(Struct, frozen=True):
    """A desired object with the attributes that its provider planned, and the type rules of this change."""

    desired: DesiredObject
    rules: ResourceTypeRules
    proposed: Mapping[str, Any] = field(default_factory=dict)
    """The proposed attributes, before the provider planned; empty in a saved plan."""


def plan_changes(
    session: ResourceSession | LegacyLifecycle,
    proposals: Iterable[tuple[DesiredObject, PriorObject | None]],
    rules: ResourceTypeRules,
    key: bytes,
) -> list[PlannedChange]:
    """Let a provider plan several objects of one type; raise DiagnosticsError with all that it rejects."""
    waiting: list[tuple[DesiredObject, PriorObject | None, SimpleQueue[Answer]]] = []
    for desired, prior in proposals:
        answers: SimpleQueue[Answer] = SimpleQueue()
        target = replace(desired, attributes=_ignoring(desired, prior))
        session.submit(_request(target, prior, rules, key), answers.put)
        waiting.append((target, prior, answers))
    found, problems = [], []
    for target, prior, answers in waiting:
        answer = answers.get()
        wrong = invalid_object(rules.answer_types, answer.attributes, target.address, target.provider, "plan")
        if wrong is not None:
            problems.append(replace(wrong, subject=target.range))
        elif answer.status == "ok":
            found.append(_planned_change(target, prior, answer, rules))
        else:
            reported = answer.diagnostics or (error("Provider plan failure", "It gave no reason."),)
            problems += [
                replace(d, address=d.address or target.address, subject=d.subject or target.range) for d in reported
            ]
    if problems:
        raise DiagnosticsError(problems)
    return found


def replacement_of(first: PlannedChange, second: PlannedChange) -> PlannedChange:
    """Return the plan of a replacement from two plans: of the change, and of a new object.

    The attributes that force it are those of the first, so that the reason for the replacement stays visible.
    """
    forcing = first.rules.replace
    attributes = {name: value for name, value in second.desired.attributes.items() if name not in forcing}
    attributes |= {name: value for name, value in first.desired.attributes.items() if name in forcing}
    later = (second.rules.computed - forcing) | (first.rules.computed & forcing)
    rules = replace(second.rules, computed=later, unknown=later, replace=forcing)
    return PlannedChange(replace(second.desired, attributes=attributes), rules, second.proposed)


def _ignoring(desired: DesiredObject, prior: PriorObject | None) -> dict[str, Any]:
    """Return the desired attributes with ignored ones set to their real values, except secrets."""
    ignored = desired.lifecycle.ignore_changes
    if prior is None or not ignored:
        return dict(desired.attributes)
    names = list(desired.attributes) if ignored == "all" else ignored
    return with_ignored(desired.attributes, prior.attributes, names, lambda value: not is_fingerprint(value))


def _request(desired: DesiredObject, prior: PriorObject | None, rules: ResourceTypeRules, key: bytes) -> Request:
    before = identity = private = None
    if prior is not None:
        identity, private = prior.identity, prior.private
        before = prior_for_provider(prior.attributes, desired.sensitive, key, desired.attributes, prior.clear)
    return Request(
        command="plan",
        type=desired.type,
        key=desired.key,
        identity=identity,
        desired=to_json_value(with_defaults(desired.attributes, rules)),
        prior=before,
        private=private,
        sensitive=[list(path) for path in sorted(desired.sensitive, key=str)] or None,
    )


def _planned_change(
    desired: DesiredObject, prior: PriorObject | None, answer: Answer, rules: ResourceTypeRules
) -> PlannedChange:
    """Return the change in an answer; secrets of the prior object stay secret if the provider keeps them."""
    planned = dict(answer.attributes or {})
    secret = fingerprint_paths(prior.attributes) if prior is not None else set()
    kept = {path for path in secret if path[0] in planned and path[0] not in desired.attributes}
    later = frozenset(
        name for name, value in planned.items() if isinstance(value, Unknown) and name not in desired.attributes
    )
    attributes = {name: value for name, value in planned.items() if name not in later}
    return PlannedChange(
        replace(desired, attributes=attributes, sensitive=desired.sensitive | kept),
        replace(rules, computed=later, unknown=later, replace=frozenset(answer.replace), defaults={}),
        desired.attributes,
    )
