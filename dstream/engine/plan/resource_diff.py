"""Resource diff: compares the prior, refreshed and desired object, and returns its change or its drift. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.redaction import Path, redact
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.lang.markers import is_fingerprint, is_withheld
from dstream.plan import (
    Action,
    Change,
    DecideOptions,
    Drift,
    DriftKind,
    Reason,
    changed_names,
    decide,
    has_unknown_part,
)
from dstream_state import ObjectState


def change_of(
    desired: DesiredObject,
    recorded: ObjectState | None,
    refreshed: RefreshedObject,
    rules: ResourceTypeRules,
    forced: Reason,
    key: bytes,
    *,
    create_first: bool,
) -> Change:
    """Return the change that takes an object to its desired attributes.

    `forced` is a reason to replace it even if nothing differs; with `create_first`, a replacement creates the new
    object before it destroys the old one.
    """
    prior = prior_attributes(recorded, refreshed, desired.sensitive, key)
    redacted = redact(desired.attributes, desired.sensitive, key)
    reason = Reason.TAINTED if recorded is not None and recorded.status == "tainted" else forced
    lifecycle = desired.lifecycle
    ignored = ("*",) if lifecycle.ignore_changes == "all" else tuple(lifecycle.ignore_changes)
    if reason is Reason.TAINTED and same_identity(desired, recorded, rules):
        create_first = False  # the incomplete object takes the name that the new one needs
    options = DecideOptions(ignored, create_first, reason if prior is not None else Reason.NONE)
    decision = decide(prior, redacted, rules, options)
    missing = recorded is not None and prior is None
    return Change(
        address=desired.address,
        action=decision.action,
        provider=desired.provider,
        type=desired.type,
        key=desired.key,
        before=prior,
        after=decision.after,
        # A tainted object is replaced whatever it is compared with.
        replace_paths=() if decision.reason is Reason.TAINTED else decision.replace_paths,
        reason=Reason.MISSING if missing else decision.reason,
        holds_data=rules.holds_data,
        dependencies=desired.dependencies,
    )


def removal_of(address: str, recorded: ObjectState, refreshed: RefreshedObject, reason: Reason, key: bytes) -> Change:
    """Return the change that removes an undeclared object; one that no longer exists is only forgotten."""
    prior = prior_attributes(recorded, refreshed, recorded.sensitive, key)
    detail = ""
    if address.endswith(DEPOSED):
        reason, detail = Reason.NONE, "it was replaced, and the earlier object is still there"
    if prior is None:
        reason = Reason.MISSING
    return Change(
        address,
        Action.FORGET if prior is None else Action.DELETE,
        recorded.provider,
        recorded.type,
        recorded.key,
        before=prior,
        reason=reason,
        detail=detail,
        holds_data=recorded.holds_data and reason is not Reason.RELEASED,
        dependencies=recorded.dependencies,
    )


def prior_attributes(
    recorded: ObjectState | None, refreshed: RefreshedObject, sensitive: Iterable[Path], key: bytes
) -> Mapping[str, Any] | None:
    """Return the real attributes, redacted, with withheld values as recorded; None if the object does not exist."""
    if recorded is None or refreshed.exists is False:
        return None
    paths = {*sensitive, *recorded.sensitive}
    before = redact(recorded.attributes, paths, key)
    if not refreshed.exists:
        return dict(before)
    return merged(before, redact(refreshed.attributes or {}, paths, key))


def drift_of(
    address: str, recorded: ObjectState, refreshed: RefreshedObject, key: bytes, unordered: Collection[str]
) -> Drift | None:
    """Return the drift of an object from the state, None if there is none."""
    if not refreshed.queried:
        return None
    before = redact(recorded.attributes, recorded.sensitive, key)
    if refreshed.exists is None:
        detail = "; ".join(f"{d.summary}: {d.detail}" if d.detail else d.summary for d in refreshed.diagnostics)
        return Drift(address, DriftKind.UNREACHABLE, recorded.type, before, detail=detail)
    if not refreshed.exists:
        return Drift(address, DriftKind.MISSING, recorded.type, before)
    after = merged(before, redact(refreshed.attributes or {}, recorded.sensitive, key))
    if changed_names(before, after, unordered):
        return Drift(address, DriftKind.CHANGED, recorded.type, before, after)
    return None


def merged(before: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an answer, with each withheld value as recorded."""
    if answer == before:
        return dict(before)
    found = {name: _kept(before.get(name), value) for name, value in answer.items()}
    for name, value in before.items():
        if name not in found and is_fingerprint(value):
            found[name] = value
    return found


def _kept(before: Any, answered: Any) -> Any:
    """Return a value of an answer, with each withheld part at any depth as recorded."""
    if is_withheld(answered):
        return before
    if isinstance(answered, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {name: _kept(known.get(name), inner) for name, inner in answered.items()}
    if isinstance(answered, list) and isinstance(before, list) and len(before) == len(answered):
        return [_kept(*pair) for pair in zip(before, answered, strict=True)]
    return answered


def planned_identity(attributes: Mapping[str, Any], rules: ResourceTypeRules) -> dict[str, Any] | None:
    """Return the identity of an object from its attributes, None if one of them is unknown."""
    identity = {name: attributes.get(name, rules.defaults.get(name)) for name in rules.identity_attributes}
    return None if not identity or has_unknown_part(identity) or None in identity.values() else identity


def same_identity(desired: DesiredObject, recorded: ObjectState | None, rules: ResourceTypeRules) -> bool:
    """Return whether a new object would have the identity of the recorded one, so that both cannot coexist."""
    planned = planned_identity(desired.attributes, rules)
    if planned is None or recorded is None or not isinstance(recorded.identity, Mapping):
        return False
    return all(recorded.identity.get(name) == value for name, value in planned.items())
