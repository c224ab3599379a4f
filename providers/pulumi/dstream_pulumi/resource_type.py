"""Resource type: one type of a plugin's schema, and its description in dstream's protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from dstream_pulumi.names import type_name
from dstream_pulumi.paths import forced
from dstream_pulumi.schemas import Schema
from dstream_pulumi.shapes import Member, json_schema, members_of
from dstream_sdk import InvalidError

_IMPORT = re.compile(r"^\$? *pulumi import (\S+) \S+ (\S+)", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n\s*\n")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class ResourceTypeSpec:
    """A resource type."""

    type: str
    token: str
    inputs: Mapping[str, Member]
    outputs: Mapping[str, Member]
    required: tuple[str, ...]
    always: tuple[str, ...]
    """Outputs that every object has. A plugin may fail to parse its own state if one is missing."""
    template: str
    """The pattern of ids, such as `/subscriptions/{subscriptionId}/...`; "" if the schema does not have it."""
    description: str

    @property
    def members(self) -> dict[str, Member]:
        """All properties by Pulumi's name. A property that is both is the input."""
        return {**self.outputs, **self.inputs}

    @property
    def read_only(self) -> frozenset[str]:
        """The attributes that are outputs, but neither inputs nor secrets."""
        given = {member.name for member in self.inputs.values()}
        return frozenset(member.name for member in self.outputs.values() if not member.secret) - given

    def forces(self, path: str) -> bool:
        """Return whether the schema, independent of the plugin, replaces an object on a change at a path."""
        return forced(self.inputs, path) or forced(self.outputs, path)

    def planned_id(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
        """Return the id of an object with these inputs, or None if it is known only after creation."""
        values = {**settings, **inputs}
        names = _PLACEHOLDER.findall(self.template)
        known = {name: values.get(name) for name in names}
        if not names or not all(isinstance(value, str) and value for value in known.values()):
            return None
        return _PLACEHOLDER.sub(lambda match: str(known[match[1]]), self.template)

    def form(self, *, holds_data: bool) -> dict[str, Any]:
        """Return the description for the probe."""
        properties: dict[str, Any] = {"id": {"type": "string"}}
        for member in self.members.values():
            properties[member.name] = json_schema(member.shape)
            if member.description:
                properties[member.name]["description"] = _summary(member.description, 200)
        needed = {self.inputs[name].name for name in self.required if name in self.inputs}
        computed = {member.name for member in self.outputs.values()} - needed | {"id"}
        secrets = {member.name for member in self.members.values() if member.secret}
        return {
            "version": 1,
            "schema": {
                "type": "object",
                "properties": properties,
                "required": sorted(needed),
                "additionalProperties": False,
                "description": _summary(self.description, 300),
            },
            "computed": sorted(computed | secrets),
            "sensitive": dict.fromkeys(sorted(secrets), "write_only"),
            "replace": sorted(member.name for member in self.inputs.values() if member.replaces),
            "identity": "planned" if self.template else "assigned",
            "identity_attributes": ["id"] if self.template else [],
            "holds_data": holds_data,
            "plans": True,
            "normalizes": True,
            "settle": 30.0,
        }


def resource_type_spec(schema: Schema, type_: str) -> ResourceTypeSpec | None:
    """Return a type by its name in configurations or its token, or None if the plugin does not have it.

    Raises InvalidError for a component resource, which the plugin would expand into other resources.
    """
    found = schema.resource(type_)
    if found is None:
        if schema.has_component(type_):
            raise InvalidError(
                "Component resource of a plugin",
                f"{type_} is a component: {schema.name} expands it into other resources through Pulumi's engine. Write "
                "these as resource blocks, or use a Python component class in an embedded program.",
            )
        return None
    token, body = found
    outputs = members_of(body.get("properties") or {}, schema.type)
    inputs = members_of(body.get("inputProperties") or {}, schema.type)
    text = str(body.get("description") or "")
    shown = _IMPORT.search(text)
    template = shown[2] if shown is not None and shown[1] == token and _PLACEHOLDER.search(shown[2]) else ""
    secrets = {name for name, member in {**outputs, **inputs}.items() if member.secret}
    return ResourceTypeSpec(
        type_name(token),
        token,
        {name: _secret(member, name in secrets) for name, member in inputs.items()},
        {name: _secret(member, name in secrets) for name, member in outputs.items()},
        tuple(body.get("requiredInputs") or ()),
        tuple(body.get("required") or ()),
        template,
        text,
    )


def _summary(text: str, limit: int) -> str:
    """Return the first paragraph of a description, shortened at a word boundary to `limit` characters."""
    return shorten(_PARAGRAPH.split(text.strip())[0], limit, placeholder=" ...")


def _secret(member: Member, secret: bool) -> Member:
    return replace(member, secret=secret)
