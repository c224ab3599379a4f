"""JSON: converts values of the language to JSON values for the wire, plans and state, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dstream.lang.binary_numbers import shortest
from dstream.lang.markers import UNKNOWN_MARKER, escaped, is_unknown, unescaped
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, number
from dstream_state.codec import to_text


def write_json(value: Any) -> str:
    """Return JSON values as text: no spaces, names in order, numbers with all their digits and without an exponent."""
    return to_text(value, ascii_only=False, sort=True, spell=_digits)


def _digits(value: Decimal) -> str:
    return format(value, "f")


def value_as_json(value: Value) -> str:
    """Return a known value as JSON text for other programs, without markers, and with the digits of its texts."""
    return to_text(_plain(value), ascii_only=False, sort=True, spell=shortest)


def _plain(value: Value) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | SetValue):
        return [_plain(item) for item in value]
    return value


def to_json_value(value: Value) -> Any:
    """Return a value as JSON: sets as lists, numbers as int or Decimal, Sensitive as what is inside.

    Unknown becomes `{"$unknown": true}`. An object with a name that starts with `$` is wrapped as `{"$object": {...}}`,
    so that no value can be mistaken for such a marker.
    """
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Sensitive):
        return to_json_value(value.value)
    if isinstance(value, dict):
        return escaped({name: to_json_value(inner) for name, inner in value.items()})
    if isinstance(value, list | tuple | SetValue):
        return [to_json_value(inner) for inner in value]
    if isinstance(value, Unknown):
        return UNKNOWN_MARKER
    if isinstance(value, float):
        return _number(Decimal(repr(value)))
    raise TypeError(f"{type(value).__name__} is not a value of the language")


def _number(value: Decimal) -> int | Decimal:
    return int(value) if value == value.to_integral_value() else value


def from_json_value(value: Any) -> Value:
    """Return the value from the result of `to_json_value`; sensitive marks and sets are lost."""
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, float):
        return number(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, list | tuple):
        return [from_json_value(inner) for inner in value]
    if isinstance(value, dict):
        if is_unknown(value):
            return Unknown()
        return {name: from_json_value(inner) for name, inner in unescaped(value).items()}
    return value
