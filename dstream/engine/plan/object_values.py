"""Object values: planned values of objects for expressions, or prior values if nothing is planned."""

from __future__ import annotations

from typing import Any

from dstream.engine.evaluate.redaction import fingerprint_paths, has_withheld, reveal
from dstream.engine.evaluate.resource_values import mark_sensitive
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.planned import PlannedObject
from dstream.engine.plan.resource_diff import prior_attributes
from dstream.plan import Action


def planned_value(context: PlanContext, planned: PlannedObject) -> Any:
    """Return the planned value of an object; attributes known after apply are unknown."""
    desired, change, rules = planned.desired, planned.change, planned.rules
    refreshed = context.prefetch.refreshed(desired.address)
    clear = reveal(change.after, desired.attributes, refreshed.attributes)
    if not refreshed.queried and has_withheld(clear):
        clear = reveal(change.after, desired.attributes, _read_secrets(context, desired.address))
    if change.action is Action.NO_OP:
        value = rules.implied_type.complete(clear)
    else:
        # A provider that plans, and was not asked yet, may set any attribute.
        undecided = rules.plans and not planned.provider_planned
        value = rules.implied_type.complete(clear, undecided=undecided, growing=rules.computed)
    return mark_sensitive(value, desired.sensitive | fingerprint_paths(change.after), desired.address)


def prior_value(context: PlanContext, address: str) -> Any:
    """Return the recorded value of an object, with `-refresh-only` the refreshed one."""
    item, refreshed = context.prior.objects[address], context.prefetch.refreshed_at(address)
    attributes = item.attributes
    if context.options.refresh_only:
        attributes = prior_attributes(item, refreshed, item.sensitive, context.key) or {}
    clear = reveal(attributes, item.attributes, refreshed.attributes)
    if not refreshed.queried and has_withheld(clear):
        clear = reveal(item.attributes, _read_secrets(context, address))
    rules = context.schemas.prior_rules(context.prefetch.specs.get(item.provider), item.type)
    return mark_sensitive(rules.implied_type.complete(clear), item.sensitive, address)


def _read_secrets(context: PlanContext, address: str) -> Any:
    found = context.prefetch.read_secrets(address)
    return None if found is None else found.attributes
