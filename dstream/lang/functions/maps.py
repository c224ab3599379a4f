"""Functions of maps and objects. Most look at no value in them, so that values may be unknown or sensitive."""

from __future__ import annotations

from dstream.lang.convert import convert, to_string
from dstream.lang.functions.arguments import items_of, joined, names_of, sequence
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.types import (
    Collection,
    ConversionError,
    type_of,
)
from dstream.lang.values import (
    ListValue,
    MapValue,
    Sensitive,
    Unknown,
    Value,
    mark,
    unwrap,
)


@function("object: names", shallow=True, gives="same")
def keys(value: Value) -> Value:
    """Return the names in a map or object, in order."""
    return sorted(names_of(value, 0))


@function("map: names, key: string, default?: any|null", shallow=True)
def lookup(values: Value, key: Value, default: Value = ...) -> Value:
    """Return what a map has under a key, or the default."""
    named = names_of(values, 0)
    if isinstance(values, MapValue) and default is not ...:
        element = type_of(values)
        try:
            default = convert(default, element.element) if isinstance(element, Collection) else default
        except ConversionError as wrong:
            raise FunctionError(f"the default must have the type of the map's elements: {wrong.message}", 2) from None
    if key in named:
        return named[key]
    if default is not ...:
        return default
    raise FunctionError(f'there is no "{key}" in the map, and no default', 1)


@function("maps...: names|null", shallow=True)
def merge(*maps: Value) -> Value:
    """Return the names of all maps or objects in one, a map if all are maps of one type; later ones win."""
    made: dict[str, Value] = {}
    for argument, one in enumerate(maps):
        if one is not None:
            made.update(names_of(one, argument))
    ordered = {name: made[name] for name in sorted(made)}
    given = [one for one in maps if one is not None]
    if all(isinstance(one, MapValue) for one in given) and len(given) > 0:
        first, *others = (type_of(one) for one in given)
        if all(other == first for other in others):
            return MapValue(ordered)
    return ordered


@function("map: names", gives="map")
def transpose(values: Value) -> Value:
    """Return a map of lists of strings with keys and elements exchanged."""
    made: dict[str, list[Value]] = {}
    named = names_of(values, 0)
    for name in sorted(named):
        for item in items_of(named[name], 0):
            try:
                made.setdefault(to_string(item), []).append(name)
            except ConversionError as wrong:
                raise FunctionError(f'in "{name}", {wrong.message}', 0) from None
    return {name: ListValue(sorted(made[name])) for name in sorted(made)}


@function("object: names", shallow=True, gives="same")
def values(value: Value) -> Value:
    """Return the values of a map or object in the order of its names."""
    named = names_of(value, 0)
    return [named[name] for name in sorted(named)]


@function("keys: strings, values: sequence", shallow=True, gives="same")
def zipmap(names: Value, items: Value) -> Value:
    """Return an object of names and values at the same places."""
    elements = sequence(items, 1)
    if len(names) != len(elements):
        raise FunctionError(f"there are {len(names)} keys and {len(elements)} values; their numbers must be equal", 1)
    marks: frozenset[str] | None = None
    made: dict[str, Value] = {}
    for name, item in zip(names, elements, strict=True):
        if isinstance(name, Sensitive):
            marks = joined(marks, name.origins)
        plain = unwrap(name)
        if isinstance(plain, Unknown):
            return mark(Unknown(), marks)
        if plain is None:
            raise FunctionError("a key is null", 0)
        made[plain] = item
    return mark({name: made[name] for name in sorted(made)}, marks)
