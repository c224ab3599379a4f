"""Shapes: what a plugin's schema says about values, for translation in both directions and for JSON Schema.

The package schema is Pulumi's (https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/). Names of
object members are snake_case in configurations and as in the schema on Pulumi's side; keys of maps are data and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dstream_pulumi.names import snake

Kind = Literal["string", "integer", "number", "boolean", "list", "map", "object", "asset", "any"]
_DEPTH = 8
"""Deeper types, and those that contain themselves, are taken as they come."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a value; members of an object by their name on Pulumi's side."""

    kind: Kind
    item: Shape | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A property."""

    name: str
    """Its name in configurations."""
    shape: Shape
    secret: bool = False
    replaces: bool = False
    """Whether a change of it needs another object."""
    forces: bool = False
    """Whether the plugin leaves it to its host to see that: `replaceOnChanges`, which no answer to Diff repeats."""
    description: str = ""


ANY = Shape("any")
TypeLookup = Callable[[str], Mapping[str, Any] | None]
"""Returns the entry of `types` in the schema by its token."""


def members_of(properties: Mapping[str, Any], types: TypeLookup, seen: tuple[str, ...] = ()) -> dict[str, Member]:
    """Return the members that a `properties` object of the schema describes."""
    return {
        name: Member(
            snake(name),
            shape_of(spec, types, seen),
            spec.get("secret") is True,
            spec.get("replaceOnChanges") is True or spec.get("willReplaceOnChanges") is True,
            spec.get("replaceOnChanges") is True,
            str(spec.get("description") or ""),
        )
        for name, spec in properties.items()
        if isinstance(spec, Mapping) and not name.startswith("__")
    }


def shape_of(spec: Mapping[str, Any], types: TypeLookup, seen: tuple[str, ...] = ()) -> Shape:
    """Return the shape that a type spec of the schema describes."""
    reference = spec.get("$ref")
    if isinstance(reference, str):
        return _referred(reference, types, seen)
    if spec.get("oneOf"):
        shapes = [shape_of(each, types, seen) for each in spec["oneOf"]]
        kinds = {shape.kind for shape in shapes}
        return Shape(shapes[0].kind) if len(kinds) == 1 and shapes[0].kind in _SCALARS else _one_object(shapes)
    kind = spec.get("type")
    if kind == "array":
        return Shape("list", shape_of(spec.get("items") or {}, types, seen))
    if kind == "object":
        return Shape("map", shape_of(spec.get("additionalProperties") or {}, types, seen))
    return Shape(kind) if kind in _SCALARS else ANY


_SCALARS = ("string", "integer", "number", "boolean")


def _one_object(shapes: list[Shape]) -> Shape:
    """Return the object that a choice offers beside scalars, if that is all; it is taken as it comes otherwise."""
    objects = [shape for shape in shapes if shape.kind == "object"]
    return objects[0] if len(objects) == 1 and len(shapes) == 1 else ANY


def _referred(reference: str, types: TypeLookup, seen: tuple[str, ...]) -> Shape:
    if reference.startswith("pulumi.json#/"):
        return Shape("asset") if reference.endswith(("Asset", "Archive")) else ANY
    token = reference.rpartition("#/types/")[2].replace("%2F", "/")
    spec = None if token in seen or len(seen) > _DEPTH else types(token)
    if spec is None:
        return ANY
    if spec.get("enum"):
        # Values outside the list are accepted by most services before the schema knows them.
        return Shape(spec["type"]) if spec.get("type") in _SCALARS else ANY
    members = members_of(spec.get("properties") or {}, types, (*seen, token))
    return Shape("object", members=members, required=tuple(spec.get("required") or ()))


def json_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON Schema of values in configurations; an object may be written as a block, a list of one."""
    if shape.kind in _SCALARS:
        return {"type": shape.kind}
    if shape.kind == "list":
        return {"type": "array", "items": json_schema(shape.item or ANY)}
    if shape.kind == "map":
        return {"type": "object", "additionalProperties": json_schema(shape.item or ANY)}
    if shape.kind == "object":
        form = {
            "properties": {each.name: json_schema(each.shape) for each in shape.members.values()},
            "required": [shape.members[name].name for name in shape.required if name in shape.members],
            "additionalProperties": False,
        }
        return {"type": ["object", "array"], **form, "items": {"type": "object", **form}}
    return {}
