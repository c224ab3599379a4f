"""Shapes: the types of values in a plugin's schema, for conversion in both directions and for JSON Schema.

The source is Pulumi's package schema (https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/).
Members of objects have snake_case names in configurations; keys of maps are data and stay unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dstream_pulumi.names import snake

Kind = Literal["string", "integer", "number", "boolean", "list", "map", "object", "asset", "any"]
_DEPTH = 8
"""Types nested deeper than this, and recursive ones, accept any value."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a value. Members of an object are by Pulumi's name."""

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
    """The name in configurations."""
    shape: Shape
    secret: bool = False
    replaces: bool = False
    """Whether a change forces replacement."""
    forces: bool = False
    """Whether the host must force the replacement (`replaceOnChanges`), because responses to Diff do not report it."""
    description: str = ""


ANY = Shape("any")
TypeLookup = Callable[[str], Mapping[str, Any] | None]
"""Returns an entry of `types` in the schema by its token."""


def members_of(properties: Mapping[str, Any], types: TypeLookup, seen: tuple[str, ...] = ()) -> dict[str, Member]:
    """Return the members of a `properties` object of the schema."""
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
    """Return the shape of a type spec of the schema."""
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
    """Return the shape of a choice that has a single object; any other choice accepts any value."""
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
        # Most services accept values before they are in the schema.
        return Shape(spec["type"]) if spec.get("type") in _SCALARS else ANY
    members = members_of(spec.get("properties") or {}, types, (*seen, token))
    return Shape("object", members=members, required=tuple(spec.get("required") or ()))


def json_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON Schema of values in configurations. An object may also be a block, which is a list of one."""
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
