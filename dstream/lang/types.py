"""Types: type constraints of variables and parameters, the type of a value, and common types."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct, field

from dstream.lang.values import ListValue, MapValue, Path, Sensitive, SetValue, Unknown, Value


class Primitive(Struct, frozen=True):
    """string, number, bool, or any."""

    name: str

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return self.name


class Collection(Struct, frozen=True):
    """list, set or map of elements of one type."""

    name: str
    element: Type

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return f"{self.name}({self.element})"


class TupleType(Struct, frozen=True):
    """A tuple: a type for each place."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return f"tuple([{', '.join(map(str, self.elements))}])"


class ObjectType(Struct, frozen=True):
    """An object: a type for each name. Names in `optional` may be absent and are then the value there."""

    attributes: dict[str, Type]
    optional: dict[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        inner = ", ".join(
            f"{name} = optional({type_})" if name in self.optional else f"{name} = {type_}"
            for name, type_ in self.attributes.items()
        )
        return f"object({{{inner}}})"


Type: TypeAlias = Primitive | Collection | TupleType | ObjectType

STRING = Primitive("string")
NUMBER = Primitive("number")
BOOL = Primitive("bool")
ANY = Primitive("any")
LIST = Collection("list", ANY)
SET = Collection("set", ANY)
MAP = Collection("map", ANY)


class ConversionError(Exception):
    """A value cannot become a type; `path` is the part that cannot."""

    def __init__(self, message: str, path: Path = ()) -> None:
        """Take a clause such as `a number is required, not a list`."""
        self.message = message
        self.path = path
        super().__init__(message)

    def sentence(self) -> str:
        """Return the error with its place, such as `[0].size: a number is required`."""
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{place.lstrip('.')}: {self.message}" if place else self.message

    def inside(self, step: str | int) -> ConversionError:
        """Return the error with `step` prepended to its path."""
        return ConversionError(self.message, (step, *self.path))


def type_of(value: Value) -> Type:
    """Return the type of a value; ANY for null and for a value of unknown type."""
    if isinstance(value, Sensitive):
        return type_of(value.value)
    if isinstance(value, str):
        return STRING
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | Decimal):
        return NUMBER
    if isinstance(value, MapValue):
        return Collection("map", common(map(type_of, value.values())))
    if isinstance(value, dict):
        return ObjectType({name: type_of(inner) for name, inner in value.items()})
    if isinstance(value, SetValue):
        return Collection("set", common(map(type_of, value)))
    if isinstance(value, ListValue):
        return Collection("list", common(map(type_of, value)))
    if isinstance(value, list | tuple):
        return TupleType(tuple(type_of(inner) for inner in value))
    if isinstance(value, Unknown) and value.type is not None:
        known: Type = value.type
        return known
    return ANY


def common(types: Iterable[Type]) -> Type:
    """Return the type that values of all these types convert to, in any order; raise ConversionError.

    ANY, the type of null and of unknown values, does not count; it is the result only if there is no other type.
    """
    found: list[Type] = []
    for type_ in types:
        if type_ is not ANY and not (found and (found[-1] is type_ or found[-1] == type_)):
            found.append(type_)
    if not found:
        return ANY
    if len(found) == 1 or all(type_ == found[0] for type_ in found):
        return found[0]
    if all(isinstance(type_, Primitive) for type_ in found):
        if STRING in found:
            return STRING
        raise _apart(found)
    objects = [type_ for type_ in found if isinstance(type_, ObjectType)]
    if len(objects) == len(found):
        return _common_object(objects)
    tuples = [type_ for type_ in found if isinstance(type_, TupleType)]
    if len(tuples) == len(found):
        return _common_tuple(tuples)
    return _common_collection(found)


def _common_object(types: list[ObjectType]) -> Type:
    names = types[0].attributes.keys()
    if all(type_.attributes.keys() == names for type_ in types):
        return ObjectType({name: common(type_.attributes[name] for type_ in types) for name in names})
    return Collection("map", common(inner for type_ in types for inner in _parts(type_)))


def _common_tuple(types: list[TupleType]) -> Type:
    if all(len(type_.elements) == len(types[0].elements) for type_ in types):
        return TupleType(tuple(map(common, zip(*(type_.elements for type_ in types), strict=True))))
    return Collection("list", common(inner for type_ in types for inner in _parts(type_)))


def _common_collection(types: list[Type]) -> Type:
    """Return a list for lists with sets or tuples, a set for sets with tuples, a map for maps with objects."""
    names = {type_.name for type_ in types if isinstance(type_, Collection)}
    maps = [isinstance(type_, ObjectType) or (isinstance(type_, Collection) and type_.name == "map") for type_ in types]
    if not names or any(isinstance(type_, Primitive) for type_ in types) or any(maps) != all(maps):
        raise _apart(types)
    name = "map" if "map" in names else "list" if "list" in names else "set"
    return Collection(name, common(inner for type_ in types for inner in _parts(type_)))


def _parts(type_: Type) -> Iterable[Type]:
    match type_:
        case Collection():
            return (type_.element,)
        case TupleType():
            return type_.elements
        case ObjectType():
            return type_.attributes.values()
        case _:
            return ()


def _apart(types: list[Type]) -> ConversionError:
    first = described(types[0])
    other = next((described(type_) for type_ in types if described(type_) != first), first)
    return ConversionError(f"{first} and {other} have no common type")


def described(type_: Type) -> str:
    """Return the name of a type with its article for messages; a tuple is named a list."""
    match type_:
        case ObjectType():
            return "an object"
        case TupleType():
            return "a list"
        case Collection():
            return f"a {type_.name}"
        case _:
            return f"a {type_}"
