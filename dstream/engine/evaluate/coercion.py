"""Conversions: arguments as the types that their provider's schema clearly names, as Terraform's language has it.

`port = "5432"` is a number where a number is wanted, `name = 7` a text where a text is. A schema with several types
takes a value as it is. What does not convert stays what it is, and the check against the schema says so at its place.
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
    """Return a value as what its JSON Schema takes; what is unknown or sensitive stays so."""
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
    """Return the arguments of a block, or the parts of an object, as what its JSON Schema takes."""
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    return {name: converted(properties.get(name, others), value) for name, value in values.items()}


def only_type(schema: Mapping[str, Any]) -> str:
    """Return the one type that a schema names beside null, or nothing where it names several or none."""
    types = schema.get("type", "")
    if isinstance(types, str):
        return types
    first, *others = [each for each in types if each != "null"] or [""]
    return "" if others else first
