"""Decide what to do with one object: desired against real attributes, by the rules of its type. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dstream.lang import Unknown
from dstream.plan.action import Action
from dstream.plan.change import Reason
from dstream.plan.differences import changed_names, has_unknown_part
from dstream.plan.ignore_changes import with_ignored


class TypeRules(Protocol):
    """What planning needs to know of a resource type; the schema of a provider has it."""

    @property
    def computed(self) -> Collection[str]:
        """Attributes that the provider decides where the configuration does not."""

    @property
    def replace(self) -> Collection[str]:
        """Attributes whose change needs a new object."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Values of attributes that the configuration leaves out."""

    @property
    def unordered(self) -> Collection[str]:
        """Attributes whose lists are sets."""


@dataclass(frozen=True, slots=True)
class DecideOptions:
    """What the user asks for beside the attributes."""

    ignore_changes: Collection[str] = ()
    """Attributes, or parts of them, whose difference is left alone; "*" is all of them."""
    create_before_destroy: bool = False
    replace: Reason = Reason.NONE
    """A reason to replace the object even without a difference."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an object, and how its attributes will look."""

    action: Action
    after: dict[str, Any]
    replace_paths: tuple[str, ...] = ()
    reason: Reason = Reason.NONE


def decide(
    prior: Mapping[str, Any] | None, desired: Mapping[str, Any], rules: TypeRules, wishes: DecideOptions
) -> Decision:
    """Return what takes an object from its real attributes (`prior`, None if it is missing) to the desired ones.

    Attributes that the configuration leaves out are the type's default, else, where the provider computes them,
    what they are (unknown for a new object), else gone.
    """
    if prior is None:
        return Decision(Action.CREATE, _planned({}, desired, rules))
    wanted = with_ignored(desired, prior, wishes.ignore_changes)
    after = _planned(prior, wanted, rules)
    changed = changed_names(prior, after, rules.unordered)
    forced = tuple(name for name in changed if name in rules.replace)
    if forced or wishes.replace:
        order = Action.CREATE_THEN_DELETE if wishes.create_before_destroy else Action.REPLACE
        return Decision(order, _planned({}, wanted, rules), forced, wishes.replace)
    if not changed:
        return Decision(Action.NO_OP, dict(prior))
    return Decision(Action.UPDATE, after)


def _planned(prior: Mapping[str, Any], desired: Mapping[str, Any], rules: TypeRules) -> dict[str, Any]:
    after = {name: value for name, value in desired.items() if value is not None}
    for name, value in rules.defaults.items():
        if name not in after and value is not None and name not in rules.computed:
            after[name] = value
    for name in rules.computed:
        if name not in after:
            if prior:
                if prior.get(name) is not None:
                    after[name] = prior[name]
            else:
                after[name] = Unknown()
    return after


def unknown_names(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of the top-level attributes that are not wholly known."""
    return [name for name, value in attributes.items() if has_unknown_part(value)]
