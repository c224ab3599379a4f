"""JSON: values of the language as JSON values for the wire, plans and state, and back."""

from __future__ import annotations

import json
from decimal import Decimal
from json.encoder import encode_basestring as _string
from typing import Any

from dstream.lang.types import to_string
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, number


class JsonNumber(float):
    """A number with more digits than a float keeps: `write_json` writes all of them, `json` the nearest float."""

    text: str

    def __new__(cls, value: Decimal) -> JsonNumber:
        """Take the number."""
        made = super().__new__(cls, value)
        made.text = format(value, "f")
        return made


def write_json(value: Any) -> str:
    """Return JSON values as text: no spaces, names in order, numbers with all their digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(name)}:{write_json(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(write_json, value)) + "]"
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, str):
        return _string(value)
    return json.dumps(value) if not isinstance(value, int) or isinstance(value, bool) else to_string(value)


def value_as_json(value: Value) -> str:
    """Return a known value as JSON text, for other programs: all digits, and no marks of ours."""
    return write_json(_plain(value))


def _plain(value: Value) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | SetValue):
        return [_plain(item) for item in value]
    return JsonNumber(value) if isinstance(value, Decimal) else value


def to_json_value(value: Value) -> Any:
    """Return a value as JSON: sets as lists, numbers with all their digits, Sensitive as what is inside.

    Unknown becomes `{"$unknown": true}`. An object with a name that starts with `$` is wrapped as
    `{"$object": {...}}`, so that no value can be mistaken for such a marker.
    """
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Sensitive):
        return to_json_value(value.value)
    if isinstance(value, dict):
        made = {name: to_json_value(inner) for name, inner in value.items()}
        return {"$object": made} if any(name.startswith("$") for name in value) else made
    if isinstance(value, list | tuple | SetValue):
        return [to_json_value(inner) for inner in value]
    if isinstance(value, Unknown):
        return {"$unknown": True}
    if isinstance(value, float):
        return _number(Decimal(repr(value)))
    raise TypeError(f"no value of the language: {type(value).__name__}")


def _number(value: Decimal) -> Any:
    if value == value.to_integral_value():
        return int(value)
    as_float = float(value)
    return as_float if Decimal(repr(as_float)) == value else JsonNumber(value)


def from_json_value(value: Any) -> Value:
    """Return what `to_json_value` made JSON of; sensitive marks and sets are lost."""
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, float):
        return number(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, list | tuple):
        return [from_json_value(inner) for inner in value]
    if isinstance(value, dict):
        if len(value) == 1:
            if "$unknown" in value:
                return Unknown()
            inner = value.get("$object")
            if isinstance(inner, dict):
                value = inner
        return {name: from_json_value(inner) for name, inner in value.items()}
    return value
