"""Answer types: checks the attributes in a provider's answer against the types in its schema. Pure.

Only types are checked, as Terraform does. Limits such as `enum` and `maximum` apply to configurations; a real object
that was changed elsewhere may be outside of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from types import NoneType
from typing import Any

from msgspec import Struct, field

from dstream.engine.evaluate.redaction import Path
from dstream.lang import Unknown
from dstream.lang.markers import WITHHELD, is_fingerprint

_PLAIN: Mapping[str, type] = {"string": str, "boolean": bool, "integer": int}
_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class AnswerTypes(Struct, frozen=True):
    """The types of one resource type. An empty one accepts everything."""

    schema: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, frozenset[type]] = field(default_factory=dict)
    """For attributes of a primitive type, the types of Python that need no closer look."""

    def errors(self, attributes: Mapping[str, Any]) -> list[tuple[Path, str]]:
        """Return the path of each value that is not of its type, with the reason."""
        plain = self.plain
        doubtful = {name: value for name, value in attributes.items() if type(value) not in plain.get(name, ())}
        return list(_members(self.schema, doubtful, ())) if doubtful and self.schema else []


NO_TYPES = AnswerTypes()


def answer_types(schema: Mapping[str, Any]) -> AnswerTypes:
    """Return the types of the attributes with this JSON Schema."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    plain = {
        name: frozenset({NoneType, _PLAIN[part["type"]]})
        for name, part in properties.items()
        if isinstance(part, Mapping) and isinstance(part.get("type"), str) and part["type"] in _PLAIN
    }
    return AnswerTypes(schema, plain)


def _members(schema: Mapping[str, Any], value: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, inner in value.items():
        if name in properties:
            yield from _mismatches(properties[name], inner, (*path, name))
        elif others is False and inner is not None:
            yield (*path, name), "the schema has no such attribute"
        elif isinstance(others, Mapping):
            yield from _mismatches(others, inner, (*path, name))


def _mismatches(schema: Any, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, Mapping) or value is None or isinstance(value, Unknown):
        return
    if isinstance(value, Mapping) and (value == WITHHELD or is_fingerprint(value)):
        return
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else types
    if types and not any(is_of_type(value, type_) for type_ in types):
        yield path, f"{_required(types)} required, and the answer has {kind_of(value)}"
        return
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if choices and all(any(True for _ in _mismatches(choice, value, path)) for choice in choices):
        yield path, f"the answer has {kind_of(value)}, which none of the alternatives in the schema accepts"
        return
    if isinstance(value, Mapping) and ("properties" in schema or "additionalProperties" in schema):
        yield from _members(schema, value, path)
    elif isinstance(value, list | tuple) and "items" in schema:
        for index, item in enumerate(value):
            yield from _mismatches(schema["items"], item, (*path, index))


def _required(types: Iterable[str]) -> str:
    return " or ".join(_NAMES.get(type_, type_) for type_ in types if type_ != "null")


def kind_of(value: Any) -> str:
    """Return the type of a value in words."""
    found = (
        type_ for type_ in ("boolean", "integer", "number", "string", "array", "object") if is_of_type(value, type_)
    )
    return _NAMES.get(next(found, ""), "null")


def is_of_type(value: Any, type_: str) -> bool:
    """Return whether a JSON value, with numbers as int or Decimal, is of a type of JSON Schema."""
    match type_:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and isinstance(value, int | Decimal) and value == int(value)
        case "number":
            return not isinstance(value, bool) and isinstance(value, int | Decimal | float)
        case "array":
            return isinstance(value, list | tuple)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    return True
