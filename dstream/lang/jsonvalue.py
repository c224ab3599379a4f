"""JSON: values of the language as JSON values for the wire, plans and state, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dstream.lang.values import Sensitive, SetValue, Unknown, Value, number


class JsonNumber(float):
    """A number that is not whole, written to JSON with all its digits; `json` prints it as its text."""

    __slots__ = ("text",)

    def __new__(cls, value: Decimal) -> JsonNumber:
        """Take the number."""
        made = super().__new__(cls, value)
        made.text = _digits(value)  # type: ignore[attr-defined]  # the slot above
        return made

    def __repr__(self) -> str:
        """Return all digits; Python's json module prints floats by this."""
        return str(self.text)  # type: ignore[attr-defined]  # the slot above


def to_json_value(value: Value) -> Any:
    """Return a value as JSON: sets as lists, numbers with all their digits, Sensitive as what is inside.

    Unknown becomes `{"$unknown": true}`. An object with a name that starts with `$` is wrapped as
    `{"$object": {...}}`, so that no value can be mistaken for such a marker.
    """
    if value is None or isinstance(value, bool | int | str):
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


def _digits(value: Decimal) -> str:
    return format(value, "f")


def from_json_value(value: Any) -> Value:
    """Return what `to_json_value` made JSON of; sensitive marks and sets are lost."""
    if isinstance(value, float):
        return number(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, list | tuple):
        return [from_json_value(inner) for inner in value]
    if isinstance(value, dict):
        if value.keys() == {"$unknown"}:
            return Unknown()
        if value.keys() == {"$object"} and isinstance(value["$object"], dict):
            value = value["$object"]
        return {name: from_json_value(inner) for name, inner in value.items()}
    return value
