"""Third stage: the change of each object of a group, and the errors that prevent it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.errors import cannot_create_before_destroy, destroy_prevented
from dstream.engine.plan.provider_plan import PlannedChange
from dstream.engine.plan.refreshed import RefreshedGroup, RefreshedTarget
from dstream.engine.plan.resource_diff import change_of, same_identity
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.plan import Action, Change, Reason
from dstream_state import ObjectState, Put, Record

_REMEMBERED = {str(reason): reason for reason in (Reason.REQUESTED, Reason.TRIGGERED)}
"""Reasons for a replacement that nothing would repeat after a failure, by their form in the state."""


class PlannedObject(Struct, frozen=True):
    """One desired object and its change."""

    desired: DesiredObject
    change: Change
    rules: ResourceTypeRules
    """The rules of its type."""
    provider_planned: bool
    """Whether its provider planned the change."""


class PlannedGroup(Struct, frozen=True):
    """The changes of one group."""

    objects: tuple[PlannedObject, ...]
    problems: tuple[Diagnostic, ...]
    by_provider: Mapping[str, PlannedChange] = field(default_factory=dict)
    """The plans of the provider, by address, as a saved plan records them."""


def plan_group(context: PlanContext, group: RefreshedGroup, trigger: Reason) -> PlannedGroup:
    """Return the changes of a group; `trigger` is the reason for a replacement by `replace_triggered_by`."""
    objects: list[PlannedObject] = []
    problems: list[Diagnostic] = []
    for target in group.targets:
        problems += target.problems
        change = _change(context, target, trigger)
        problems += _prevented(target, change)
        objects.append(PlannedObject(target.desired, change, target.rules, target.planned is not None))
    by_provider = {each.desired.address: each.planned for each in group.targets if each.planned is not None}
    return PlannedGroup(tuple(objects), tuple(problems), by_provider)


def _rules_of_change(target: RefreshedTarget) -> ResourceTypeRules:
    return target.rules if target.planned is None else target.planned.rules


def _change(context: PlanContext, target: RefreshedTarget, trigger: Reason) -> Change:
    desired = target.desired
    forced = Reason.REQUESTED if desired.address in context.replaced else trigger
    remembered = _REMEMBERED.get(target.prior.replacing, Reason.NONE) if target.prior is not None else Reason.NONE
    again = forced is Reason.NONE and remembered is not Reason.NONE
    if again:
        forced = remembered
    create_first = desired.block in context.create_first or desired.lifecycle.create_before_destroy
    tainted = target.prior is not None and target.prior.status == "tainted"
    if tainted and desired.address + DEPOSED in context.prior.objects:
        create_first = False  # the healthy object is the deposed one, which goes only after the new one is there
    rules = _rules_of_change(target)
    change = change_of(desired, target.prior, target.refreshed, rules, forced, context.key, create_first=create_first)
    if again and change.reason is remembered:
        change = replace(
            change, detail=f"an earlier apply did not finish it; dstream untaint '{change.address}' cancels it"
        )
    moved_from = context.prior.previous_addresses.get(desired.address)
    if moved_from is None and target.importing is None:
        return change
    return replace(change, moved_from=moved_from, importing=target.importing)


def _prevented(target: RefreshedTarget, change: Change) -> list[Diagnostic]:
    found = []
    desired, rules = target.desired, _rules_of_change(target)
    if change.action is Action.CREATE_THEN_DELETE and same_identity(desired, target.prior, rules):
        found.append(cannot_create_before_destroy(change, desired, rules))
    if change.action.destroys and desired.lifecycle.prevent_destroy:
        found.append(destroy_prevented(change, desired.range))
    return found


def replacement_records(objects: Mapping[str, PlannedObject], prior: Mapping[str, ObjectState]) -> Iterator[Record]:
    """Yield the records that make the state remember replacements until they are done."""
    for address, planned in objects.items():
        reason, item = str(planned.change.reason), prior.get(address)
        if planned.change.action.replaces and reason in _REMEMBERED and item is not None and item.replacing != reason:
            yield Put(address, replace(item, replacing=reason))
