"""Implied types: all attributes that objects of a type have by its schema, set or not.

In expressions an attribute that is not set is null, as in Terraform's language; one that the provider computes is
unknown. An implied type is read from a schema once per type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from dstream.engine.evaluate.coercion import only_type
from dstream.lang import Unknown
from dstream.lang.markers import WITHHELD
from dstream.lang.types import ANY, ObjectType, Type
from dstream.lang.types import Collection as CollectionType

_STRUCTURED = ("properties", "items", "additionalProperties", "anyOf", "oneOf")
"""Keywords of a JSON Schema for values with members."""


class ImpliedType(Struct, frozen=True):
    """The attributes of one type. An empty one adds nothing to an object."""

    unset: Mapping[str, None] = field(default_factory=dict)
    """Null for each attribute."""
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The JSON Schemas of those attributes that may hold objects."""

    def complete(
        self, attributes: Mapping[str, Any], *, undecided: bool = False, growing: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the attributes of an object, including those that are not set.

        With `undecided`, the provider may still set them, so that they are unknown instead of null. The provider may
        also add members to the objects in the attributes of `growing`.
        """
        unknown = Unknown()
        found: dict[str, Any] = {**(dict.fromkeys(self.unset, unknown) if undecided else self.unset), **attributes}
        for name, schema in self.parts.items():
            value = found[name]
            if isinstance(value, dict | list):
                found[name] = _completed(schema, value, unknown if undecided or name in growing else None)
        return found


NO_IMPLIED_TYPE = ImpliedType()


def implied_type(schema: Mapping[str, Any], computed: Iterable[str]) -> ImpliedType:
    """Return the implied type from the JSON Schema of the attributes and the names of computed ones.

    A name with aliases is left out: it may be set under an alias.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    spelt = {name for name, part in properties.items() if "x-alias-of" in part}
    spelt |= {properties[name]["x-alias-of"] for name in spelt}
    names = sorted({*properties, *computed} - spelt)
    parts = {name: properties[name] for name in names if any(key in properties.get(name, ()) for key in _STRUCTURED)}
    return ImpliedType(dict.fromkeys(names), parts)


def _completed(schema: Any, value: Any, unset: Unknown | None) -> Any:
    """Return a value with all members of its schema; one that is not set is its default, otherwise `unset`."""
    if isinstance(value, dict) and value != WITHHELD:
        form = _form(schema, ("properties", "additionalProperties"))
        properties, others = form.get("properties", {}), form.get("additionalProperties")
        made = {name: _completed(properties.get(name, others), inner, unset) for name, inner in value.items()}
        for name, part in properties.items():
            if name not in made:
                made[name] = part.get("default") if unset is None and isinstance(part, Mapping) else unset
        return made
    if isinstance(value, list):
        items = _form(schema, ("items",)).get("items")
        return value if items is None else [_completed(items, item, unset) for item in value]
    return value


def _form(schema: Any, members: Iterable[str]) -> Mapping[str, Any]:
    """Return the alternative of a schema that has one of these members; an empty schema if there are several."""
    found = [each for each in _alternatives(schema) if any(isinstance(each.get(name), Mapping) for name in members)]
    return found[0] if len(found) == 1 else {}


def _alternatives(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for member in ("anyOf", "oneOf"):
            for each in schema.get(member, ()):
                yield from _alternatives(each)


def object_type(schema: Mapping[str, Any], computed: Iterable[str]) -> Type:
    """Return the type of objects from the schema of their attributes; `any` if they may have other attributes."""
    found = _type({**schema, "type": "object"})
    return ObjectType({**dict.fromkeys(computed, ANY), **found.attributes}) if isinstance(found, ObjectType) else ANY


def _type(schema: Any) -> Type:
    """Return the type of values of a schema, if it has the names of all attributes; otherwise `any`."""
    if not isinstance(schema, Mapping):
        return ANY
    choices = [each for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())) if each != {"type": "null"}]
    if len(choices) == 1 and "properties" not in schema:
        return _type(choices[0])
    kind, others = only_type(schema), schema.get("additionalProperties")
    if kind == "object" and others is False:
        return ObjectType({name: _type(part) for name, part in sorted(schema.get("properties", {}).items())})
    inner = (
        schema.get("items") if kind == "array" else others if kind == "object" and "properties" not in schema else None
    )
    element = _type(inner)
    return ANY if element is ANY else CollectionType("list" if kind == "array" else "map", element)
