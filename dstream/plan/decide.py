"""Decide: compares desired with real attributes by the rules of a type, and returns the action. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from msgspec import Struct

from dstream.lang import Unknown
from dstream.plan.action import Action
from dstream.plan.change import Reason
from dstream.plan.differences import changed_names, has_unknown_part
from dstream.plan.ignore_changes import with_ignored


class TypeRules(Protocol):
    """The rules of a resource type, from the schema of its provider."""

    @property
    def computed(self) -> Collection[str]:
        """Attributes that the provider computes if the configuration does not set them."""

    @property
    def unknown(self) -> Collection[str]:
        """Computed attributes that a plan of the provider leaves unknown; an update makes them unknown too."""

    @property
    def replace(self) -> Collection[str]:
        """Attributes whose change needs a new object."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Default values of attributes."""

    @property
    def unordered(self) -> Collection[str]:
        """Attributes whose lists are sets."""


class DecideOptions(Struct, frozen=True):
    """The user's options besides the attributes."""

    ignore_changes: Collection[str] = ()
    """Attributes, or parts of them, whose differences are ignored; "*" is all of them."""
    create_before_destroy: bool = False
    replace: Reason = Reason.NONE
    """A reason to replace the object even if nothing differs."""


class Decision(Struct, frozen=True):
    """The action on an object, and its planned attributes."""

    action: Action
    after: dict[str, Any]
    replace_paths: tuple[str, ...] = ()
    reason: Reason = Reason.NONE


def decide(
    prior: Mapping[str, Any] | None, desired: Mapping[str, Any], rules: TypeRules, options: DecideOptions
) -> Decision:
    """Return the action from real attributes (`prior`, None if the object is missing) to the desired ones.

    An attribute that is not set takes the type's default; otherwise, if it is computed, its real value (unknown for a
    new object); otherwise it is removed. A replacement is a new object: ignored attributes take the desired values.
    """
    if prior is None:
        return Decision(Action.CREATE, _planned({}, desired, rules))
    target = with_ignored(desired, prior, options.ignore_changes)
    after = _planned(prior, target, rules)
    changed = changed_names(prior, after, rules.unordered)
    forced = tuple(name for name in changed if name in rules.replace)
    if forced or options.replace:
        order = Action.CREATE_THEN_DELETE if options.create_before_destroy else Action.REPLACE
        return Decision(order, _planned({}, desired, rules), forced, options.replace)
    if not changed:
        return Decision(Action.NO_OP, dict(prior))
    return Decision(Action.UPDATE, after | {name: Unknown() for name in rules.unknown if name not in target})


def with_defaults(desired: Mapping[str, Any], rules: TypeRules) -> dict[str, Any]:
    """Return the desired attributes without null ones, and with the defaults of those that are not set.

    A computed attribute has no default: the provider decides.
    """
    found = {name: value for name, value in desired.items() if value is not None}
    for name, value in rules.defaults.items():
        if name not in found and value is not None and name not in rules.computed:
            found[name] = value
    return found


def _planned(prior: Mapping[str, Any], desired: Mapping[str, Any], rules: TypeRules) -> dict[str, Any]:
    after = with_defaults(desired, rules)
    for name in rules.computed:
        if name not in after:
            if prior:
                if prior.get(name) is not None:
                    after[name] = prior[name]
            else:
                after[name] = Unknown()
    return after


def unknown_names(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of the top-level attributes with an unknown part."""
    return [name for name, value in attributes.items() if has_unknown_part(value)]
