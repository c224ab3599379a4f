"""Refinements: what is known of a value that is unknown itself, after an operation or a function.

A text with an unknown part is not null and begins with what stands before that part; a sorted list is as long as the
list was. So `"a-${unknown}" != null` and `length(sort([unknown]))` are known in a plan, as in OpenTofu.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from dstream.lang.convert import unify
from dstream.lang.result_types import result_type
from dstream.lang.types import (
    ANY,
    STRING,
    Collection,
    ConversionError,
    ObjectType,
    TupleType,
    Type,
    type_of,
)
from dstream.lang.values import Lengths, ListValue, MapValue, SetValue, Unknown, Value, unwrap

_DELIMITERS = frozenset(" \t-_:;/\\,.(){}|?!~@#$%^&*+\"'[]<>=")
"""Characters with which no following character combines into another one."""
_SOMETIMES_NULL = frozenset(
    {
        "element",
        "env",
        "ephemeralasnull",
        "jsondecode",
        "lookup",
        "nonsensitive",
        "one",
        "sensitive",
        "tobool",
        "tolist",
    }
    | {"tomap", "tonumber", "toset", "tostring", "try", "yamldecode"}
)
"""Functions that return null for some arguments."""


def text_from(start: str) -> Unknown:
    """Return an unknown text that begins with `start`."""
    if start and start[-1] not in _DELIMITERS:
        start = start[:-1]  # the next character may combine with this one
    return Unknown(STRING, not_null=True, prefix=start)


def lengths_of(value: Value) -> Lengths:
    """Return the least and the greatest number of elements that a collection can have; None where there is no limit."""
    value = unwrap(value)
    if isinstance(value, Unknown):
        match value.type:
            case TupleType(elements=members) | ObjectType(attributes=members):
                return len(members), len(members)
        return value.lengths
    if isinstance(value, SetValue):
        known = sum(not isinstance(unwrap(item), Unknown) for item in value)
        return max(known, min(1, len(value))), len(value)
    return (len(value), len(value)) if isinstance(value, list | tuple | dict) else (0, None)


def either(yes: Value, no: Value, type_: Type) -> Value:
    """Return the unknown one of two values, of a type that both can have."""
    (least, most), (other_least, other_most) = lengths_of(yes), lengths_of(no)
    lengths = min(least, other_least), None if most is None or other_most is None else max(most, other_most)
    not_null = all(value.not_null if isinstance(value, Unknown) else value is not None for value in (yes, no))
    if not_null and isinstance(type_, Collection) and type_.name == "list" and lengths[0] == lengths[1]:
        return _elements(lengths[0], type_.element)
    return Unknown(None if type_ is ANY else type_, not_null=not_null, lengths=lengths)


def equal(left: Value, right: Value) -> bool | None:
    """Return False if two values, one of them unknown, cannot be equal; otherwise None."""
    with suppress(ConversionError):
        if _apart(type_of(left), type_of(right)):
            return False
    unknown, other = (left, right) if isinstance(left, Unknown) else (right, left)
    if not isinstance(unknown, Unknown):
        return None
    if other is None:
        return False if unknown.not_null else None
    if isinstance(other, str):
        return None if other.startswith(unknown.prefix) else False
    if isinstance(other, Unknown):
        shorter = min(unknown.prefix, other.prefix, key=len)
        return None if unknown.prefix.startswith(shorter) and other.prefix.startswith(shorter) else False
    if isinstance(other, list | tuple | dict):
        least, most = unknown.lengths
        return None if least <= len(other) <= (len(other) if most is None else most) else False
    return None


def _apart(left: Type, right: Type) -> bool:
    """Whether no value of one type equals one of the other. ANY is a type that is not known yet."""
    if left is ANY or right is ANY:
        return False
    match left, right:
        case Collection(), Collection():
            return left.name != right.name or _apart(left.element, right.element)
        case TupleType(), TupleType():
            return len(left.elements) != len(right.elements) or any(map(_apart, left.elements, right.elements))
        case ObjectType(), ObjectType():
            names = left.attributes.keys()
            return names != right.attributes.keys() or any(
                _apart(left.attributes[name], right.attributes[name]) for name in names
            )
        case _:
            return left != right


def _elements(count: int, type_: Type | None) -> ListValue:
    """Return a list of which only the length is known."""
    return ListValue(Unknown(type_) for _ in range(count))


def decided(function: str, given: Sequence[Value]) -> bool:
    """Return whether a function has a result although an argument is unknown, since others decide."""
    match function:
        case "lookup":
            return not any(isinstance(value, Unknown) for value in given[:2])
        case "coalescelist":
            first = next((value for value in given if isinstance(value, Unknown) or value), None)
            return first is not None and not isinstance(first, Unknown)
        case _:
            return False


def result(function: str, given: Sequence[Value]) -> Value:
    """Return what is known of a function's result if an argument is unknown, or has an unknown part."""
    if function == "startswith" and isinstance(given[1], str):
        found = _starts(given[0], given[1])
        if found is not None:
            return found
    if function == "jsonencode":
        return text_from(_json_start(given[0]))
    if function == "format" and isinstance(given[0], str):
        return text_from(given[0].partition("%")[0])
    if function == "setunion" and not any(isinstance(value, Unknown) for value in given):
        with suppress(ConversionError):
            return SetValue(unify(item for one in given for item in one))
    structure = _merged(given) if function == "merge" else _structure(function, given[0]) if len(given) == 1 else None
    if structure is not None:
        return structure
    refine = _LENGTHS.get(function)
    lengths: Lengths = (0, None) if refine is None else refine([lengths_of(value) for value in given])
    if function == "sort" and lengths[0] == lengths[1]:
        return _elements(lengths[0], STRING)
    type_ = result_type(function, given)
    return Unknown(type_, not_null=function not in _SOMETIMES_NULL, lengths=lengths)


def _structure(function: str, value: Value) -> list[Value] | None:
    """Return the elements of a result that the type of an unknown object or tuple determines."""
    match function, value.type if isinstance(value, Unknown) else None:
        case "keys", ObjectType(attributes=attributes):
            return [*sorted(attributes)]
        case "values", ObjectType(attributes=attributes):
            return [Unknown(attributes[name]) for name in sorted(attributes)]
        case "reverse", TupleType(elements=elements):
            return [Unknown(element) for element in reversed(elements)]
        case _:
            return None


def _merged(given: Sequence[Value]) -> dict[str, Value] | None:
    """Return the attributes of merged objects, whose names the types determine; None with a map."""
    made: dict[str, Value] = {}
    for value in given:
        match value, value.type if isinstance(value, Unknown) else None:
            case Unknown(), ObjectType(attributes=attributes):
                made.update({name: Unknown(type_) for name, type_ in attributes.items()})
            case dict(), _ if not isinstance(value, MapValue):
                made.update(value)
            case None, _:
                continue
            case _:
                return None
    return {name: made[name] for name in sorted(made)}


def _starts(text: Value, start: str) -> bool | None:
    if not isinstance(text, Unknown):
        return None
    if text.prefix.startswith(start):
        return True
    return None if start.startswith(text.prefix) else False


def _json_start(value: Value) -> str:
    if isinstance(value, dict | list | tuple):
        return "{" if isinstance(value, dict) else "["
    return '"' if isinstance(value, Unknown) and value.type == STRING and value.not_null else ""


def _same(given: Sequence[Lengths]) -> Lengths:
    return given[0]


def _fewer(given: Sequence[Lengths]) -> Lengths:
    least, most = given[0]
    return min(1, least), most


def _sum(given: Sequence[Lengths]) -> Lengths:
    total: int | None = 0
    for _, most in given:
        total = None if total is None or most is None else total + most
    return sum(least for least, _ in given), total


_LENGTHS: dict[str, Callable[[Sequence[Lengths]], Lengths]] = {
    "concat": _sum, "distinct": _fewer, "keys": _same, "reverse": _same, "sort": _same, "values": _same,
}  # fmt: skip
"""The number of elements of a result, by function."""
