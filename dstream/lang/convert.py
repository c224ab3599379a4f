"""Conversion: converts a value to a type, and several values to their common type.

As in Terraform, numbers and truth values become texts and back where the text reads as one; lists and sets become each
other; objects become maps; the elements of a collection have one type. Unknown values stay unknown (with the type they
will have), sensitive ones sensitive.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from dstream.lang.binary_numbers import shortest
from dstream.lang.types import (
    ANY,
    Collection,
    ConversionError,
    ObjectType,
    Primitive,
    TupleType,
    Type,
    common,
    described,
    type_of,
)
from dstream.lang.values import ListValue, MapValue, Sensitive, SetValue, Unknown, Value, kind, number


def convert(value: Value, type_: Type) -> Value:
    """Convert a value to a type; raise ConversionError."""
    if isinstance(value, Sensitive):
        return Sensitive(convert(value.value, type_), value.origins)
    if isinstance(value, Unknown):
        return _unknown(value, type_)
    if value is None:
        return None
    match type_:
        case Primitive():
            return _primitive(value, type_)
        case Collection():
            return _collection(value, type_)
        case TupleType():
            return _tuple(value, type_)
        case ObjectType():
            return _object(value, type_)


def _unknown(value: Unknown, type_: Type) -> Unknown:
    """Convert an unknown value to a type; raise ConversionError if no value of its type converts."""
    if type_ is ANY or value.type is None or value.type is ANY:
        return _typed(value, type_) if value.type is None and type_ is not ANY else value
    given = value.type
    if isinstance(type_, Primitive) != isinstance(given, Primitive) or not _possible(given, type_):
        raise ConversionError(f"{_described_target(type_)} is required, not {described(given)}")
    return _typed(value, type_) if isinstance(type_, Primitive) else value


def _typed(value: Unknown, type_: Type) -> Unknown:
    lengths = value.lengths
    if isinstance(type_, Collection) and type_.name == "set":
        lengths = (min(1, lengths[0]), lengths[1])
    prefix = value.prefix if str(type_) == "string" else ""
    return Unknown(type_, not_null=value.not_null, prefix=prefix, lengths=lengths)


def is_primitive(value: Value) -> bool:
    """Return whether a value is unknown, but known to be a string, number or bool."""
    return isinstance(value, Unknown) and isinstance(value.type, Primitive) and value.type is not ANY


def _possible(given: Type, target: Type) -> bool:
    if isinstance(given, Primitive) and isinstance(target, Primitive):
        return {given.name, target.name} != {"number", "bool"}
    maps = (isinstance(given, ObjectType) or (isinstance(given, Collection) and given.name == "map"),
            isinstance(target, ObjectType) or (isinstance(target, Collection) and target.name == "map"))  # fmt: skip
    return maps[0] == maps[1]


def _described_target(type_: Type) -> str:
    return "a tuple" if isinstance(type_, TupleType) else described(type_)


def _primitive(value: Value, type_: Primitive) -> Value:
    match type_.name:
        case "string":
            return to_string(value)
        case "number":
            return to_number(value)
        case "bool":
            return to_bool(value)
        case _:
            return value


def to_string(value: Value) -> str:
    """Return a known primitive value as text; raise ConversionError."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, Decimal):
        return shortest(value)
    raise ConversionError(f"a string is required, not {kind(value)}")


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to print very long numbers by default
        return format(Decimal(value), "f")


def to_number(value: Value) -> int | Decimal:
    """Return a known primitive value as a number; raise ConversionError."""
    if isinstance(value, bool):
        raise ConversionError("a number is required, not a bool")
    if isinstance(value, int | Decimal):
        return value
    if isinstance(value, str):
        return parse_number(value)
    raise ConversionError(f"a number is required, not {kind(value)}")


def parse_number(text: str) -> int | Decimal:
    """Parse a number; raise ConversionError."""
    if text and text.isascii() and not (text[0].isspace() or text[-1].isspace() or "_" in text):
        try:
            found = Decimal(text)
        except InvalidOperation:
            found = Decimal("NaN")
        if found.is_finite() and abs(found.adjusted()) <= 10_000:
            return number(found)
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    raise ConversionError(f'a number is required, and "{shown}" is not one')


def to_bool(value: Value) -> bool:
    """Return a known primitive value as a boolean; raise ConversionError."""
    if isinstance(value, bool):
        return value
    if value == "true" or value == "1":
        return True
    if value == "false" or value == "0":
        return False
    if isinstance(value, str):
        close = ' (it is written in lower case: "true" or "false")' if value.lower() in ("true", "false") else ""
        raise ConversionError(f"a bool is required: true or false{close}")
    raise ConversionError(f"a bool is required, not {kind(value)}")


def _collection(value: Value, type_: Collection) -> Value:
    if type_.name == "map":
        if not isinstance(value, dict):
            raise ConversionError(f"a map is required, not {kind(value)}")
        names = list(value)
        return MapValue(zip(names, _elements([value[name] for name in names], names, type_.element), strict=True))
    if not isinstance(value, list | tuple | SetValue):
        hint = "" if isinstance(value, dict) else ": put brackets around it, [...]"
        raise ConversionError(f"a {type_.name} is required, not {kind(value)}{hint}")
    items = list(value)
    made = _elements(items, list(range(len(items))), type_.element)
    return SetValue(made) if type_.name == "set" else ListValue(made)


def _elements(items: list[Value], steps: list[Any], element: Type) -> list[Value]:
    if element is ANY or (isinstance(element, Primitive) and element.name == "any"):
        return unify(items)
    return _each(steps, items, itertools.repeat(element, len(items)))


def _each(steps: Iterable[Any], items: Iterable[Value], types: Iterable[Type]) -> list[Value]:
    """Convert each item to its type; an error names the step that leads to the item."""
    made = []
    for step, item, type_ in zip(steps, items, types, strict=True):
        try:
            made.append(convert(item, type_))
        except ConversionError as problem:
            raise problem.inside(step) from None
    return made


def _tuple(value: Value, type_: TupleType) -> Value:
    if not isinstance(value, list | tuple) or isinstance(value, ListValue):
        raise ConversionError(f"a tuple is required, not {kind(value)}")
    items = list(value)
    if len(items) != len(type_.elements):
        raise ConversionError(f"a tuple of {len(type_.elements)} elements is required, not of {len(items)}")
    return _each(range(len(items)), items, type_.elements)


def _object(value: Value, type_: ObjectType) -> Value:
    if not isinstance(value, dict):
        raise ConversionError(f"an object is required, not {kind(value)}")
    missing = [name for name in type_.attributes if name not in value and name not in type_.optional]
    if missing:
        shown = ", ".join(f'"{name}"' for name in missing)
        raise ConversionError(f"attribute{'s' if len(missing) > 1 else ''} {shown} required")
    made: dict[str, Value] = {}
    for name in sorted(type_.attributes):
        attribute = type_.attributes[name]
        given = value.get(name)
        if given is None and name in type_.optional:
            default = type_.optional[name]
            made[name] = None if default is None else convert(default, attribute)
            continue
        try:
            made[name] = convert(given, attribute)
        except ConversionError as problem:
            raise problem.inside(name) from None
    return made


def unify(values: Iterable[Value]) -> list[Value]:
    """Return values converted to their common type; raise ConversionError if there is none."""
    items = list(values)
    found = common(map(type_of, items))
    if found is ANY or (isinstance(found, Primitive) and all(_plainly(item, found.name) for item in items)):
        return items
    return [convert_loosely(item, found) for item in items]


def _plainly(item: Value, name: str) -> bool:
    match name:
        case "string":
            return isinstance(item, str)
        case "number":
            return isinstance(item, int | Decimal) and not isinstance(item, bool)
        case _:
            return isinstance(item, bool)


def convert_loosely(value: Value, type_: Type) -> Value:
    """Convert a value to a type from `common`, in which ANY leaves a part unchanged."""
    if isinstance(type_, Collection) and type_.element is ANY and not isinstance(value, list | dict):
        return value
    return convert(value, type_)
