"""Inputs: the pure parts of planning an object: inputs and answers of a plugin, without calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_pulumi.special_values import is_unknown
from dstream_sdk import UNKNOWN, WITHHELD, ProviderError, ResourceContext


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a plugin is asked for."""

    values: dict[str, Any]
    hidden: frozenset[str] = frozenset()
    """The secret texts among the values."""
    withheld: frozenset[str] = frozenset()
    """Attributes that are secret by the plugin's word alone: the host, which would not guard them, is not told."""
    guarded: tuple[str, ...] = ()
    """Attributes that are secret by the host's word."""
    guessed: bool = False
    """Whether the inputs were read from the object, so that the configured ones and the secrets are unknown."""


def without_unconfigured(
    inputs: Mapping[str, Any], outputs: Mapping[str, Any], checked: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return recorded inputs that were read from the object, without those that are not configured.

    The configured inputs of an imported object are unknown: that it has more does not mean to remove them.
    """
    kept = {name: value for name, value in inputs.items() if name in checked}
    held = outputs.get("__inputs")
    if isinstance(held, Mapping):
        outputs = {**outputs, "__inputs": {name: value for name, value in held.items() if name in checked}}
    return kept, dict(outputs)


def visibly(
    attributes: dict[str, Any], before: Mapping[str, Any], replaces: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the attributes of a replacement such that what forces it differs: the host replaces only then."""
    for name in replaces:
        if name in attributes and (attributes[name] is UNKNOWN or attributes[name] == before.get(name)):
            del attributes[name]
    if not any(attributes.get(name) != before.get(name) for name in replaces):
        attributes.pop("id", None)
        return attributes, [*replaces, "id"]
    return attributes, replaces


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that are known."""
    return {name: value for name, value in values.items() if not is_unknown(value)}


def has_unknown(value: Any) -> bool:
    """Return whether something in a value is known only after apply."""
    return _has(value, UNKNOWN)


def has_withheld(value: Any) -> bool:
    """Return whether something in a value is a secret that the state does not have."""
    return _has(value, WITHHELD)


def _has(value: Any, mark: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has(inner, mark) for inner in value.values())
    if isinstance(value, list):
        return any(_has(inner, mark) for inner in value)
    return value is mark


def seconds_left(ctx: ResourceContext[Any]) -> float | None:
    """Return the seconds that are left for a change, whole ones, since plugins pass over parts of one.

    None if there is no limit; raise ProviderError when none are left.
    """
    left = ctx.remaining()
    if left is not None and left <= 0:
        raise ProviderError(
            "Change timeout",
            f"Its {ctx.timeout:g} s passed before the plugin was called; nothing was done. Give it a longer timeout.",
        )
    return None if left is None else float(math.ceil(left))
