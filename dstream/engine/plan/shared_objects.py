"""Shared objects: refuses a plan in which two addresses manage one object.

Otherwise a change or removal of one block would change or destroy the object of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.diagnostics import Diagnostic, error
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.planned import PlannedObject
from dstream.engine.plan.resource_diff import planned_identity
from dstream.engine.refresh.moved_blocks import within
from dstream.plan import Action

Claim = tuple[str, str, str]
"""Provider, type and identity of an object."""


def check_shared_objects(context: PlanContext, objects: Mapping[str, PlannedObject]) -> Iterator[Diagnostic]:
    """Yield an error for each object that would have two addresses, or is imported from another address."""
    claims: dict[Claim, str] = {}
    for address, planned in objects.items():
        claim = _claim_of(context, planned)
        if claim is None:
            continue
        other = claims.setdefault(claim, address)
        if other != address:
            yield _shared(other, address, claim, planned)
    imported = context.prior.imported.keys()
    if not imported:
        return
    for address, item in context.prior.objects.items():
        if address in objects or item.identity is None or _forgotten(context, address):
            continue
        other = claims.get((item.provider, item.type, _text(item.identity)), "")
        if other in imported:
            yield _shared(address, other, (item.provider, item.type, _text(item.identity)), objects[other])


def _claim_of(context: PlanContext, planned: PlannedObject) -> Claim | None:
    """Return the object that an address will manage, None if its identity is not known yet."""
    desired, change = planned.desired, planned.change
    if change.action is Action.CREATE or change.action.replaces:
        identity: Any = planned_identity(desired.attributes, planned.rules)
    else:
        item = context.prior.objects.get(desired.address)
        identity = item.identity if item is not None else None
    return None if identity is None else (desired.provider, desired.type, _text(identity))


def _text(identity: Any) -> str:
    return repr(sorted(identity.items(), key=str)) if isinstance(identity, Mapping) else repr(identity)


def _forgotten(context: PlanContext, address: str) -> bool:
    return any(not block.destroy and within(address, str(block.from_)) for block in context.config.removed)


def _shared(first: str, second: str, claim: Claim, planned: PlannedObject) -> Diagnostic:
    _, type_, identity = claim
    return error(
        "One object at two addresses",
        f"{first} and {second} would both manage the {type_} {identity}, so that a change or removal of one would "
        "change or destroy the object of the other. Take one of the two blocks, or its import, out of the "
        f"configuration. To give the object another address, "
        f"write: moved {{ from = {first}, to = {second} }}. If the state has both, run "
        f"dstream state rm '{second}', which forgets one address and keeps the object.",
        planned.desired.range,
        address=second,
    )
