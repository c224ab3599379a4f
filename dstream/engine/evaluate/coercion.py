"""Coercion: converts arguments to the types in their provider's schema, by the rules of Terraform's language.

`port = "5432"` becomes a number where the schema has a number, `name = 7` a string where it has a string. Under a
schema with several types a value is kept. A value that cannot be converted is kept too, and the check against the
schema reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dstream.lang import Sensitive, SetValue, Value
from dstream.lang.convert import to_bool, to_number, to_string
from dstream.lang.types import ConversionError

_PRIMITIVES: Mapping[str, Callable[[Value], Value]] = {
    "string": to_string,
    "boolean": to_bool,
    "integer": to_number,
    "number": to_number,
}


def converted(schema: Any, value: Value) -> Value:
    """Return a value converted to the type of its JSON Schema; unknown and sensitive values stay so."""
    if value is None or not isinstance(schema, Mapping):
        return value
    if isinstance(value, Sensitive):
        return Sensitive(converted(schema, value.value), value.origins)
    if isinstance(value, dict):
        return converted_arguments(schema, value)
    if isinstance(value, list | tuple | SetValue):
        items = schema.get("items")
        made = [converted(items, item) for item in value]
        return SetValue(made) if isinstance(value, SetValue) else made
    make = _PRIMITIVES.get(only_type(schema))
    if make is None:
        return value
    try:
        return make(value)
    except ConversionError:
        return value


def converted_arguments(schema: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the arguments of a block, or the members of an object, converted to the types of its JSON Schema."""
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    return {name: converted(properties.get(name, others), value) for name, value in values.items()}


def only_type(schema: Mapping[str, Any]) -> str:
    """Return the only type of a schema besides null, or an empty string if it has several or none."""
    types = schema.get("type", "")
    if isinstance(types, str):
        return types
    first, *others = [each for each in types if each != "null"] or [""]
    return "" if others else first
