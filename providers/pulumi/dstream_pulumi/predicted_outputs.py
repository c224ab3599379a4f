"""Predicted outputs: outputs that always equal an input, so that a program can use them before creation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def predicted_outputs(token: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs that follow from the inputs of a resource.

    In azure-native, the output `name` of a `Queue` equals its input `queueName`.
    """
    package, _, rest = token.partition(":")
    kind = rest.rpartition(":")[2]
    name = inputs.get(f"{kind[:1].lower()}{kind[1:]}Name")
    if package == "azure-native" and name is not None and "name" not in inputs:
        return {"name": name}
    return {}
