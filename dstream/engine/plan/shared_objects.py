"""Shared objects: refuses a plan in which two addresses manage one object.

Otherwise a change or removal of one block would change or destroy the object of the other. Two `provider` blocks with
one source and equal arguments count as one provider. That two providers with different arguments reach one object, such
as two names of one server, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.diagnostics import Diagnostic, error
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.planned import PlannedObject
from dstream.engine.plan.resource_diff import planned_identity
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.refresh.moved_blocks import within
from dstream.lang import strip_sensitive
from dstream.lang.values import same
from dstream.plan import Action

Claim = tuple[str, str, str]
"""Provider, type and identity of an object."""
_DECLARED = "provider."


def check_shared_objects(context: PlanContext, objects: Mapping[str, PlannedObject]) -> Iterator[Diagnostic]:
    """Yield an error for each object that would have two addresses, or is imported from another address."""
    claims: dict[Claim, str] = {}
    providers = _equal_providers(context.prefetch.specs)
    for address, planned in objects.items():
        claim = _claim_of(context, planned, providers)
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
        claim = _claim(providers, item.provider, item.type, item.identity)
        other = claims.get(claim, "")
        if other in imported:
            yield _shared(address, other, claim, objects[other])


def _claim_of(context: PlanContext, planned: PlannedObject, providers: Mapping[str, str]) -> Claim | None:
    """Return the object that an address will manage, None if its identity is not known yet."""
    desired, change = planned.desired, planned.change
    if change.action is Action.CREATE or change.action.replaces:
        identity: Any = planned_identity(desired.attributes, planned.rules)
    else:
        item = context.prior.objects.get(desired.address)
        identity = item.identity if item is not None else None
    return None if identity is None else _claim(providers, desired.provider, desired.type, identity)


def _claim(providers: Mapping[str, str], provider: str, type_: str, identity: Any) -> Claim:
    return providers.get(provider, provider), type_, _text(identity)


def _equal_providers(specs: Mapping[str, ProviderSpec]) -> dict[str, str]:
    """Return, for each declared provider, the first one with the same source and equal arguments."""
    found: dict[str, str] = {}
    known = [name for name, spec in specs.items() if name.startswith(_DECLARED) and not spec.unknown]
    for name in sorted(known):
        spec = specs[name]
        equal = (each for each in found.values() if _same_target(specs[each], spec))
        found[name] = next(equal, name)
    return found


def _same_target(one: ProviderSpec, other: ProviderSpec) -> bool:
    return one.source == other.source and same(strip_sensitive(one.config), strip_sensitive(other.config))


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
