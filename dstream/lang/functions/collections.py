"""Functions of lists. Most look at no element, so that elements may be unknown or sensitive."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from dstream.lang.convert import to_bool, to_number, to_string, unify
from dstream.lang.functions.arguments import integer, items_of, joined, sequence, unified
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.operators import equal
from dstream.lang.types import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    ConversionError,
    ObjectType,
    Primitive,
    TupleType,
)
from dstream.lang.values import (
    PRECISION,
    ListValue,
    Sensitive,
    SetValue,
    Unknown,
    Value,
    contains_unknown,
    identity,
    kind,
    mark,
    number,
    origins,
    same,
    unwrap,
)


@function("list: list", shallow=True)
def alltrue(items: Value) -> Value:
    """Return whether all elements are true."""
    return _decided(items, False)


@function("list: list", shallow=True)
def anytrue(items: Value) -> Value:
    """Return whether any element is true."""
    return _decided(items, True)


def _decided(items: Value, by: bool) -> Value:
    """Return `by` if any element is that, and the opposite if none is; unknown elements leave it open."""
    marks = origins(items)
    plain = [unwrap(item) for item in items]
    if by in [_flag(item) for item in plain if not isinstance(item, Unknown)]:
        return mark(by, marks)
    return mark(Unknown(BOOL) if any(isinstance(item, Unknown) for item in plain) else not by, marks)


def _flag(item: Value) -> bool:
    try:
        return item is not None and to_bool(item)
    except ConversionError as wrong:
        raise FunctionError(f"in the list, {wrong.message}", 0) from None


@function("list: list, size: number", shallow=True, gives="list")
def chunklist(items: Value, size: Value) -> Value:
    """Return the list in pieces of a size."""
    elements, length = items, integer(size, 1, "the size")
    if length < 0:
        raise FunctionError("the size must be 0 or more", 1)
    if length == 0:
        return [elements]
    return [ListValue(elements[start : start + length]) for start in range(0, len(elements), length)]


@function("values...: any|null", shallow=True, marked=True)
def coalesce(*values: Value) -> Value:
    """Return the first value that is neither null nor an empty string."""
    marks: frozenset[str] | None = None
    try:
        unify([unwrap(value) for value in values])
    except ConversionError as wrong:
        raise FunctionError(f"the values must have one type: {wrong.message}") from None
    for value in values:
        found = origins(value) if isinstance(value, Sensitive) else None
        plain = unwrap(value)
        if isinstance(plain, Unknown):
            return mark(Unknown(plain.type, not_null=True), joined(marks, found))
        if plain is not None and plain != "":
            one = unify([plain, *(unwrap(other) for other in values if other is not value)])[0]
            return mark(one, joined(marks, found))
        marks = joined(marks, found)
    raise FunctionError("all values are null or empty strings")


@function("lists...: sequence", shallow=True)
def coalescelist(*lists: Value) -> Value:
    """Return the first list that is not empty."""
    known = [one for index, one in enumerate(lists) if not isinstance(one, Unknown) and sequence(one, index)]
    if known:
        return known[0]
    raise FunctionError("all lists are empty")


@function("list: items", shallow=True, gives="list")
def compact(items: Value) -> Value:
    """Return the list of strings without empty ones and nulls; with a sensitive element, its length is sensitive."""
    made: list[Value] = []
    for index, item in enumerate(items_of(items, 0)):
        plain = unwrap(item)
        if isinstance(plain, Unknown):
            return mark(Unknown(not_null=True), origins(items))
        if plain is None or plain == "":
            continue
        try:
            made.append(to_string(plain))
        except ConversionError as wrong:
            raise FunctionError(f"element {index}: {wrong.message}", 0) from None
    return mark(made, origins(items))


@function("lists...: sequence", shallow=True)
def concat(*lists: Value) -> Value:
    """Return the elements of all lists as one list; those of lists of different types become one type, if they can."""
    if not lists:
        raise FunctionError("at least one list is needed")
    items = [item for index, one in enumerate(lists) for item in sequence(one, index)]
    if all(isinstance(one, ListValue) for one in lists):
        try:
            return ListValue(unify(items))
        except ConversionError:
            return items
    return items


@function("list: items, value: any", shallow=True)
def contains(items: Value, value: Value) -> Value:
    """Return whether a list has a value."""
    marks = joined(origins(items), origins(value))
    if isinstance(value, str) and not contains_unknown(items):
        # Only an equal text is equal to a text, whatever else the list has.
        return mark(value in map(unwrap, items_of(items, 0)), marks)
    found = [equal(item, value) for item in items_of(items, 0)]
    if True in found:
        return mark(True, marks)
    return mark(Unknown(BOOL) if None in found else False, marks)


@function("list: items", gives="list")
def distinct(items: Value) -> Value:
    """Return the list without duplicates; the first of each is kept."""
    made: list[Value] = []
    seen: set[Hashable] = set()
    for item in unified(items, 0):
        key = identity(item)
        if key not in seen:
            seen.add(key)
            made.append(item)
    return made


@function("list: sequence, index: number", shallow=True)
def element(items: Value, index: Value) -> Value:
    """Return an element of the list; the index wraps around at the end, and a negative one counts from there."""
    elements, place = sequence(items, 0), integer(index, 1, "the index")
    if not elements:
        raise FunctionError("the list is empty", 0)
    return elements[place % len(elements)]


@function("list: any", shallow=True)
def flatten(items: Value) -> Value:
    """Return the list with all lists in it replaced by their elements; a sensitive list makes its length sensitive."""
    made: list[Value] = []
    found: frozenset[str] | None = None
    known = True
    pending = items_of(items, 0)[::-1]
    while pending:
        item = pending.pop()
        plain = unwrap(item)
        if isinstance(plain, list | tuple | SetValue):
            if isinstance(item, Sensitive):
                found = joined(found, item.origins)
            pending += list(plain)[::-1]
        elif isinstance(plain, Unknown) and (plain.type is ANY or not isinstance(plain.type, Primitive)):
            known = False
        else:
            made.append(item)
    return mark(made if known else Unknown(not_null=True), found)


@function("list: sequence, value: any|null")
def index(items: Value, value: Value) -> Value:
    """Return the index of the first element equal to a value."""
    elements = sequence(items, 0)
    if isinstance(value, str):
        if value in elements:
            return elements.index(value)
        elements = []  # only an equal text is equal to a text
    for place, item in enumerate(elements):
        if same(item, value):
            return place
    raise FunctionError("the list has no such value", 1)


@function("value: any", shallow=True, marked=True)
def length(value: Value) -> Value:
    """Return the number of elements, or of characters in a string."""
    return mark(_length(unwrap(value)), value.origins if isinstance(value, Sensitive) else None)


def _length(value: Value) -> Value:
    if isinstance(value, Unknown):
        match value.type:
            case TupleType() | ObjectType():
                return len(value.type.elements if isinstance(value.type, TupleType) else value.type.attributes)
            case Primitive() if value.type not in (ANY, STRING):
                raise FunctionError(f"a list, map, object or string is required, not a {value.type}", 0)
        least, most = value.lengths
        return least if least == most else Unknown(NUMBER, not_null=True)
    if isinstance(value, str):
        from dstream.lang.functions.clusters import clusters

        return len(clusters(value))
    if isinstance(value, SetValue) and contains_unknown(value) and len(value) > 1:
        return Unknown(NUMBER, not_null=True)
    if isinstance(value, list | tuple | dict | SetValue):
        return len(value)
    raise FunctionError(f"a list, map, object or string is required, not {kind(value)}", 0)


@function("values: list, keys: list, search: list", gives="list")
def matchkeys(values: Value, keys: Value, search: Value) -> Value:
    """Return the values whose keys, at the same indexes, are in `search`."""
    if len(values) != len(keys):
        raise FunctionError("values and keys must have the same length", 1)
    try:
        one = unify([*keys, *search])
    except ConversionError as wrong:
        raise FunctionError(f"the keys must be of the type of those searched for: {wrong.message}", 2) from None
    keys, search = one[: len(keys)], one[len(keys) :]
    selected = set(map(identity, search))
    return [value for value, key in zip(values, keys, strict=True) if identity(key) in selected]


@function("list: items", shallow=True)
def one(items: Value) -> Value:
    """Return the only element, or null if there is none."""
    if items is None:
        return None
    elements = items_of(items, 0)
    if len(elements) > 1:
        raise FunctionError(f"the list has {len(elements)} elements, and must have one at most", 0)
    return elements[0] if elements else None


@function("limits...: number", name="range", gives="list")
def range_(*limits: Value) -> Value:
    """Return the numbers from a start up to a limit by a step."""
    if not 1 <= len(limits) <= 3:
        raise FunctionError(
            "it takes one, two or three numbers: range(limit), range(start, limit), range(start, limit, step)"
        )
    start, limit = (0, limits[0]) if len(limits) == 1 else limits[:2]
    step = limits[2] if len(limits) == 3 else 1 if start <= limit else -1
    if step == 0 or ((step > 0) != (start < limit) and start != limit):
        raise FunctionError("the step must lead from the start to the limit", 2)
    made: list[Value] = []
    while start < limit if step > 0 else start > limit:
        if len(made) >= 1024:
            raise FunctionError("more than 1024 numbers; use a smaller range")
        made.append(start)
        start = (
            number(PRECISION.add(start, step))
            if not isinstance(start, int) or not isinstance(step, int)
            else start + step
        )
    return made


@function("list: items", shallow=True, gives="same")
def reverse(items: Value) -> Value:
    """Return the list in reverse order."""
    return items_of(items, 0)[::-1]


@function("list: sequence, start: number, end: number", name="slice", shallow=True, gives="same")
def slice_(items: Value, start: Value, end: Value) -> Value:
    """Return the elements from `start` to `end`, exclusive."""
    elements = sequence(items, 0)
    first, last = integer(start, 1, "the start"), integer(end, 2, "the end")
    if not 0 <= first <= len(elements):
        raise FunctionError(f"the start must be between 0 and {len(elements)}, the length of the list", 1)
    if not first <= last <= len(elements):
        raise FunctionError(f"the end must be between the start and {len(elements)}, the length of the list", 2)
    return elements[first:last]


@function("list: strings", gives="list")
def sort(items: Value) -> Value:
    """Return the strings in order."""
    if None in items:
        raise FunctionError("null cannot be sorted; remove it with compact(...)", 0)
    return sorted(items)


@function("list: numbers", name="sum")
def sum_(items: Value) -> Value:
    """Return the sum of the numbers."""
    if not items:
        raise FunctionError("the list is empty, so it has no sum", 0)
    if None in items:
        raise FunctionError("the list has a null", 0)
    total: Any = 0
    for item in items:
        value = to_number(item)
        total = (
            total + value if isinstance(total, int) and isinstance(value, int) else number(PRECISION.add(total, value))
        )
    return total
