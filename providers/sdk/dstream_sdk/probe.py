"""Probe: the answer with name, version, roles, capabilities and schemas of a provider."""

from __future__ import annotations

from typing import Any

from dstream_sdk.provider import Provider
from dstream_sdk.resource import ResourceType, overrides
from dstream_sdk.schema import make_schema


def probe(provider: Provider) -> dict[str, Any]:
    """Return the answer to the probe; pure."""
    return {
        "protocol": 2,
        "provider": {"name": provider.name, "version": provider.release()},
        "roles": provider.roles(),
        "capabilities": provider.capabilities(),
        "schema": {
            "config": make_schema(provider.config()),
            "resources": {kind.type: describe(kind) for kind in provider.resources},
        },
    }


def describe(kind: ResourceType[Any]) -> dict[str, Any]:
    """Return the schema of one resource type."""
    return {
        "version": kind.version,
        "schema": make_schema(kind.attributes, strict=True),
        "computed": list(kind.computed),
        "sensitive": dict(kind.sensitive),
        "replace": list(kind.replace),
        "identity": kind.identity,
        "identity_attributes": list(kind.identity_attributes),
        "holds_data": kind.holds_data,
        "plans": overrides(kind, "plan"),
        "settle": kind.settle,
        **({"normalizes": True} if kind.normalizes else {}),
    }
