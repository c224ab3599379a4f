"""Lifecycle commands of version 1: init, plan, status and destroy of all that a provider's configuration
implies.

Version 1 hosts keep no state, so each object is looked up by its planned identity. The answer is one object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstream_sdk.channel import Writer, encode, log
from dstream_sdk.errors import InvalidError, ProviderError
from dstream_sdk.model import Object, PlanContext, Resource
from dstream_sdk.provider import Provider
from dstream_sdk.resource import ResourceContext, ResourceType
from dstream_sdk.settings import decode

_COMMANDS = ("init", "plan", "status", "destroy")


def lifecycle(provider: Provider, command: str, given: Mapping[str, Any], writer: Writer) -> int:
    """Execute a version 1 lifecycle command and write its answer; return the exit code."""
    try:
        if command not in _COMMANDS:
            raise InvalidError("No such command", f"{command!r}; version 1 has run, {', '.join(_COMMANDS)}")
        config = decode(provider.config(), given, warn=log)
        lines = _all(provider, command, config)
    except ProviderError as problem:
        answer = {
            "status": "error",
            "resources": [],
            "message": str(problem),
            "error": problem.detail or str(problem),
        }
        writer.send(encode(answer))
        return 1
    message = f"{command}: {len(lines)} objects" if lines else f"{provider.name} manages no infrastructure here"
    writer.send(encode({"status": "success", "resources": lines, "metadata": {}, "message": message}))
    return 0


def _all(provider: Provider, command: str, config: Any) -> list[str]:
    part = provider.input or provider.output
    planned = [each for each in part.plan(config, PlanContext()) if isinstance(each, Resource)] if part else []
    kinds = {kind.type: kind for kind in provider.resources}
    opened: dict[str, ResourceType[Any]] = {}
    lines = []
    try:
        for each in reversed(planned) if command == "destroy" else planned:
            kind = kinds.get(each.type)
            if kind is None:
                continue
            if command != "plan" and each.type not in opened:
                kind.open(config)
                opened[each.type] = kind
            lines.append(f"{each.key}: {_one(kind, command, config, each)}")
    finally:
        for kind in opened.values():
            kind.close()
    return lines


def _one(kind: ResourceType[Any], command: str, config: Any, resource: Resource) -> str:
    """Execute the command for one object; return the outcome."""
    if command == "plan":
        return kind.type
    ctx: ResourceContext[Any] = ResourceContext(config, {"type": kind.type, "key": resource.key}, lambda _: None)
    identity = {name: resource.attributes.get(name) for name in kind.identity_attributes}
    found = kind.read(ctx, identity, None)
    if command == "status":
        return "exists" if found else "missing"
    if command == "destroy":
        if found is None:
            return "already deleted"
        kind.delete(ctx, found)
        return "destroyed"
    if found is None:
        kind.create(ctx, dict(resource.attributes), None)
        return "created"
    if _same(found, resource):
        return "exists"
    kind.update(ctx, found, {**found.attributes, **resource.attributes})
    return "updated"


def _same(found: Object, resource: Resource) -> bool:
    return all(found.attributes.get(name) == value for name, value in resource.attributes.items())
