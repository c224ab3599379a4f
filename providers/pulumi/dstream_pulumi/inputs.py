"""Inputs: the parts of planning an object that make no calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_pulumi.special_values import is_unknown
from dstream_sdk import UNKNOWN, WITHHELD, ProviderError, ResourceContext


@dataclass(frozen=True, slots=True)
class Inputs:
    """The checked inputs of an object."""

    values: dict[str, Any]
    hidden: frozenset[str] = frozenset()
    """The secret strings among the values."""
    withheld: frozenset[str] = frozenset()
    """Attributes that only the plugin marks as secret. They are withheld, because the host would not redact them."""
    guarded: tuple[str, ...] = ()
    """Attributes that the host treats as sensitive."""
    guessed: bool = False
    """Whether the inputs were derived from the real object, so that configured values and secrets are unknown."""


def configured_only(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], checked: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the recorded inputs and outputs of an imported object, without inputs that are not configured.

    The inputs that it was created with are unknown. Inputs beyond the configured ones must not be removed.
    """
    kept = {name: value for name, value in inputs.items() if name in checked}
    held = outputs.get("__inputs")
    if isinstance(held, Mapping):
        outputs = {**outputs, "__inputs": {name: value for name, value in held.items() if name in checked}}
    return kept, dict(outputs)


def show_replaced(
    attributes: dict[str, Any], before: Mapping[str, Any], replaces: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the attributes of a replacement so that an attribute that forces it differs, as the host requires."""
    for name in replaces:
        if name in attributes and (attributes[name] is UNKNOWN or attributes[name] == before.get(name)):
            del attributes[name]
    if not any(attributes.get(name) != before.get(name) for name in replaces):
        attributes.pop("id", None)
        return attributes, [*replaces, "id"]
    return attributes, replaces


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known properties."""
    return {name: value for name, value in values.items() if not is_unknown(value)}


def has_unknown(value: Any) -> bool:
    """Return whether a value has a part that is known only after apply."""
    return _has(value, UNKNOWN)


def has_withheld(value: Any) -> bool:
    """Return whether a value has a secret that is not in the state."""
    return _has(value, WITHHELD)


def _has(value: Any, mark: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has(inner, mark) for inner in value.values())
    if isinstance(value, list):
        return any(_has(inner, mark) for inner in value)
    return value is mark


def seconds_left(ctx: ResourceContext[Any]) -> float | None:
    """Return the seconds left for a change, rounded up because plugins ignore fractions; None if there is no limit.

    Raises ProviderError if no time is left.
    """
    left = ctx.remaining()
    if left is not None and left <= 0:
        raise ProviderError(
            "Change timeout",
            f"Its {ctx.timeout:g} s passed before the plugin was called; nothing was changed. Set a longer timeout.",
        )
    return None if left is None else float(math.ceil(left))
