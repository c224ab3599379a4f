"""Second stage: each desired object with its prior object and its refreshed state.

The provider plans the changes of types whose schema has `plans`. Imports are read. New objects with a known identity
are looked up, so that an existing object that this state did not create is never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.errors import object_exists, sensitive_identity, unreachable, unresolved
from dstream.engine.plan.evaluated import ObjectGroup
from dstream.engine.plan.provider_plan import PlannedChange, PriorObject, plan_changes, replacement_of
from dstream.engine.plan.resource_diff import planned_identity, prior_attributes
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.import_blocks import ImportTarget, imported_object, object_to_import
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.plan import Reason
from dstream_state import ObjectState


class RefreshedTarget(Struct, frozen=True):
    """One desired object, as planned by its provider, with its prior and refreshed object."""

    desired: DesiredObject
    rules: ResourceTypeRules
    """The rules of its type."""
    prior: ObjectState | None
    refreshed: RefreshedObject
    planned: PlannedChange | None = None
    """The plan of its provider, for types whose schema has `plans`."""
    importing: Any = None
    """The identity of the object to import; None if it is not imported."""
    problems: tuple[Diagnostic, ...] = ()


class RefreshedGroup(Struct, frozen=True):
    """The objects of one group."""

    targets: tuple[RefreshedTarget, ...]


def refresh_group(context: PlanContext, group: ObjectGroup, trigger: Reason) -> RefreshedGroup:
    """Return the objects of a group with prior and refreshed ones; raise DiagnosticsError if a provider rejects one.

    `trigger` is the reason for a replacement by `replace_triggered_by`.
    """
    renamed: dict[str, ObjectState] = {}
    for desired in group.objects:
        item = context.prior.apply_aliases(desired, group.rules.version)
        if item is not None and item.status in ("ok", "tainted"):
            renamed[desired.address] = item
    context.prefetch.request_renamed(group.spec, renamed)
    planned = _plan_with_provider(context, group, group.objects, trigger)
    objects = [_with_plan(desired, planned) for desired in group.objects]
    _request_absent(context, group, objects)
    return RefreshedGroup(tuple(_target(context, group, desired, planned, trigger) for desired in objects))


def check_prior(address: str, item: ObjectState | None, refreshed: RefreshedObject) -> Iterator[Diagnostic]:
    """Yield the errors for an object that is unreachable, or whose last change has an unknown outcome."""
    if refreshed.queried and refreshed.exists is None:
        yield from unreachable(address, refreshed)
    if item is not None and item.status in ("unresolved", "pending"):
        yield unresolved(address)


def _with_plan(desired: DesiredObject, planned: Mapping[str, PlannedChange]) -> DesiredObject:
    found = planned.get(desired.address)
    return desired if found is None else found.desired


def _target(
    context: PlanContext,
    group: ObjectGroup,
    desired: DesiredObject,
    planned: Mapping[str, PlannedChange],
    trigger: Reason,
) -> RefreshedTarget:
    address = desired.address
    problems = list(_sensitive_identities(desired, group.rules))
    importing = None
    target = context.import_target(desired.block, address)
    if target is not None and address not in context.prior.objects:
        try:
            importing = _take_over(context, group, desired, target)
        except DiagnosticsError as problem:
            problems += problem.diagnostics
    if importing is not None:
        planned = {**planned, **_plan_with_provider(context, group, [desired], trigger)}
        desired = _with_plan(desired, planned)
    item, refreshed = context.prior.objects.get(address), context.prefetch.refreshed(address)
    if item is None and refreshed.exists:
        problems.append(object_exists(address))
    problems += check_prior(address, item, refreshed)
    return RefreshedTarget(desired, group.rules, item, refreshed, planned.get(address), importing, tuple(problems))


def _sensitive_identities(desired: DesiredObject, rules: ResourceTypeRules) -> Iterator[Diagnostic]:
    secret = {str(path[0]) for path in desired.sensitive} & set(rules.identity_attributes)
    for name in sorted(secret):
        yield sensitive_identity(desired, name)


def _take_over(context: PlanContext, group: ObjectGroup, desired: DesiredObject, target: ImportTarget) -> Any:
    """Read an object that is imported, add it to the prior state, and return its identity."""
    requested = object_to_import(desired, target.identity, group.rules)
    found = context.prefetch.read_for_import(group.spec, desired.address, requested)
    item = imported_object(desired, requested, found, group.rules, context.key)
    context.prior.take_over(desired.address, item)
    return item.identity


def _plan_with_provider(
    context: PlanContext, group: ObjectGroup, objects: Iterable[DesiredObject], trigger: Reason
) -> dict[str, PlannedChange]:
    """Return the provider's plans for objects by address, if the schema of their type has `plans`."""
    rules, spec, saved = group.rules, group.spec, context.saved
    if not rules.plans or spec.unknown:
        return {}
    proposals: Sequence[tuple[DesiredObject, PriorObject | None]] = [
        (desired, _prior_object(context, desired))
        for desired in objects
        if desired.address in context.prior.objects or context.import_target(desired.block, desired.address) is None
    ]
    found: list[PlannedChange] = []
    if saved is not None:
        found, proposals = saved.recall_planned(proposals, rules)
    if proposals:
        fresh = _planned_by_provider(context, group, proposals, trigger)
        found += fresh if saved is None else (saved.merge_planned(each, rules) for each in fresh)
    return {each.desired.address: each for each in found}


def _planned_by_provider(
    context: PlanContext,
    group: ObjectGroup,
    proposals: Sequence[tuple[DesiredObject, PriorObject | None]],
    trigger: Reason,
) -> list[PlannedChange]:
    """Return the provider's plans. It plans what will be replaced a second time, as a new object.

    An object that its provider replaces was planned as a new one already, unless attributes are ignored: these keep
    their real values in a change, and take the desired ones in a new object.
    """
    session = context.pool.session(group.spec)
    found = plan_changes(session, proposals, group.rules, context.key)
    again: dict[int, DesiredObject] = {}
    for index, (desired, prior) in enumerate(proposals):
        forced = _replaced(context, desired) or trigger is not Reason.NONE
        if prior is not None and (forced or (found[index].rules.replace and desired.lifecycle.ignore_changes)):
            again[index] = desired
    if again:
        second = plan_changes(session, [(desired, None) for desired in again.values()], group.rules, context.key)
        for index, planned in zip(again, second, strict=True):
            found[index] = replacement_of(found[index], planned)
    return found


def _replaced(context: PlanContext, desired: DesiredObject) -> bool:
    """Whether an object is replaced by request, now or in an apply that did not finish it, or because it is tainted."""
    item = context.prior.objects.get(desired.address)
    remembered = item is not None and (item.status == "tainted" or bool(item.replacing))
    return desired.address in context.replaced or remembered


def _prior_object(context: PlanContext, desired: DesiredObject) -> PriorObject | None:
    """Return an object as its provider receives it; None if there is none."""
    item, refreshed = context.prior.objects.get(desired.address), context.prefetch.refreshed(desired.address)
    attributes = prior_attributes(item, refreshed, desired.sensitive, context.key)
    if item is None or attributes is None:
        return None
    private = refreshed.private if refreshed.private is not None else item.private
    return PriorObject(item.identity, attributes, private, refreshed.attributes)


def _request_absent(context: PlanContext, group: ObjectGroup, objects: Iterable[DesiredObject]) -> None:
    """Look up new objects whose identity is known before they exist."""
    if not context.options.refresh or group.spec.unknown or not group.rules.identity_attributes:
        return
    fresh: dict[str, ObjectState] = {}
    for desired in objects:
        if desired.address in context.prior.objects:
            continue
        if context.import_target(desired.block, desired.address) is not None:
            continue
        identity = planned_identity(desired.attributes, group.rules)
        if identity is not None:
            fresh[desired.address] = ObjectState(
                group.spec.name, desired.type, desired.key, identity, timeouts=desired.timeouts
            )
    context.prefetch.request_absent(group.spec, fresh)
