"""Struct values: JSON values to `google.protobuf.Struct` and back. Integral doubles are converted to integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value


def to_struct(values: Mapping[str, Any]) -> Struct:
    """Convert to a Struct. Raises TypeError for values that are not JSON."""
    return Struct(fields={str(name): _value(inner) for name, inner in values.items()})


def from_struct(struct: Struct) -> dict[str, Any]:
    """Convert from a Struct."""
    return {name: _plain(value) for name, value in struct.fields.items()}


def _value(value: Any) -> Value:
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, Mapping):
        return Value(struct_value=to_struct(value))
    if isinstance(value, list | tuple):
        return Value(list_value=ListValue(values=[_value(inner) for inner in value]))
    try:
        return Value(number_value=float(value))
    except (TypeError, ValueError) as problem:
        raise TypeError(f"not a JSON value: {type(value).__name__}") from problem


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(inner) for inner in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return None if kind in (None, "null_value") else getattr(value, kind)
