"""Functions of sets, which also take lists."""

from __future__ import annotations

from itertools import product

from dstream.lang.convert import unify
from dstream.lang.functions.arguments import items_of, unified
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.types import (
    ConversionError,
)
from dstream.lang.values import (
    SetValue,
    Unknown,
    Value,
    contains_unknown,
)

_MAX_ELEMENTS = 1_000_000


@function("sets...: items")
def setintersection(*sets: Value) -> Value:
    """Return the elements that are in all sets."""
    first, *others = _sets(sets)
    return SetValue(item for item in first if all(item in other for other in others))


@function("sets...: items")
def setunion(*sets: Value) -> Value:
    """Return the elements that are in any set."""
    return SetValue(item for one in _sets(sets) for item in one)


@function("minuend: items, subtrahend: items")
def setsubtract(minuend: Value, subtrahend: Value) -> Value:
    """Return the elements of the first set that are not in the second."""
    first, second = _sets((minuend, subtrahend))
    return SetValue(item for item in first if item not in second)


def _sets(values: tuple[Value, ...]) -> list[SetValue]:
    if not values:
        raise FunctionError("at least one set is needed")
    for argument, value in enumerate(values):
        items_of(value, argument, "a set")
    lists = [unified(value, argument) for argument, value in enumerate(values)]
    try:
        items = unify([item for one in lists for item in one])
    except ConversionError as wrong:
        raise FunctionError(f"the elements of the sets must have one type: {wrong.message}") from None
    made: list[SetValue] = []
    for one in lists:
        made.append(SetValue(items[: len(one)]))
        items = items[len(one) :]
    return made


@function("sets...: items", shallow=True, gives="list")
def setproduct(*sets: Value) -> Value:
    """Return all combinations of one element from each set, as a list if all arguments are lists."""
    if len(sets) < 2:
        raise FunctionError("at least two sets are needed")
    lists = [items_of(value, argument, "a set") for argument, value in enumerate(sets)]
    if any(isinstance(value, SetValue) and contains_unknown(value) for value in sets):
        return Unknown()
    total = 1
    for one in lists:
        total *= len(one)
    if total > _MAX_ELEMENTS:
        raise FunctionError(f"there would be {total} combinations")
    try:
        lists = [unify(one) for one in lists]
    except ConversionError as wrong:
        raise FunctionError(f"the elements of a set must have one type: {wrong.message}") from None
    made = [list(combination) for combination in product(*lists)]
    return SetValue(made) if any(isinstance(value, SetValue) for value in sets) else made
