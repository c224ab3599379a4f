"""Foreseen: outputs that a program may read before creation, since they always equal an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def foreseen(token: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return outputs that follow from the inputs of a resource.

    In azure-native the output `name` of a `Queue` is its input `queueName`: ids end with it.
    """
    package, _, rest = token.partition(":")
    kind = rest.rpartition(":")[2]
    name = inputs.get(f"{kind[:1].lower()}{kind[1:]}Name")
    if package == "azure-native" and name is not None and "name" not in inputs:
        return {"name": name}
    return {}
