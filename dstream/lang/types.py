"""Types: what a `variable` declares and what functions take, the type of a value, and what types have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from dstream.lang.values import ListValue, MapValue, Path, Sensitive, SetValue, Unknown, Value


@dataclass(frozen=True, slots=True)
class Primitive:
    """string, number, bool, or any."""

    name: str

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return self.name


@dataclass(frozen=True, slots=True)
class Collection:
    """list, set or map of elements of one type."""

    name: str
    element: Type

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return f"{self.name}({self.element})"


@dataclass(frozen=True, slots=True)
class TupleType:
    """A tuple: a type for each place."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        """Return the type as the language writes it."""
        return f"tuple([{', '.join(map(str, self.elements))}])"


@dataclass(frozen=True, slots=True)
class ObjectType:
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
        """Return what is wrong with its place, such as `[0].size: a number is required`."""
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{place.lstrip('.')}: {self.message}" if place else self.message

    def inside(self, step: str | int) -> ConversionError:
        """Return the error as seen from a value around it."""
        return ConversionError(self.message, (step, *self.path))


def type_of(value: Value) -> Type:
    """Return the type of a value; ANY for null and for what is not known."""
    if isinstance(value, Sensitive):
        return type_of(value.value)
    if isinstance(value, str):
        return STRING
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | Decimal):
        return NUMBER
    if isinstance(value, MapValue):
        return Collection("map", _common_of(map(type_of, value.values())))
    if isinstance(value, dict):
        return ObjectType({name: type_of(inner) for name, inner in value.items()})
    if isinstance(value, SetValue):
        return Collection("set", _common_of(map(type_of, value)))
    if isinstance(value, ListValue):
        return Collection("list", _common_of(map(type_of, value)))
    if isinstance(value, list | tuple):
        return TupleType(tuple(type_of(inner) for inner in value))
    if isinstance(value, Unknown) and value.type is not None:
        known: Type = value.type
        return known
    return ANY


def common(left: Type, right: Type) -> Type:
    """Return the type that values of both types can become; raise ConversionError if there is none."""
    if left == right or right is ANY:
        return left
    if left is ANY:
        return right
    if isinstance(left, Primitive) and isinstance(right, Primitive):
        if STRING in (left, right):
            return STRING
        raise ConversionError(f"a {left} and a {right} have no type in common")
    if isinstance(left, ObjectType) and isinstance(right, ObjectType):
        if left.attributes.keys() == right.attributes.keys():
            return ObjectType({name: common(type_, right.attributes[name]) for name, type_ in left.attributes.items()})
        return Collection("map", _common_of([*left.attributes.values(), *right.attributes.values()]))
    if isinstance(left, TupleType) and isinstance(right, TupleType):
        if len(left.elements) == len(right.elements):
            return TupleType(tuple(map(common, left.elements, right.elements)))
        return Collection("list", _common_of([*left.elements, *right.elements]))
    return _common_collection(left, right)


def _common_collection(left: Type, right: Type) -> Type:
    for one, other in ((left, right), (right, left)):
        if not isinstance(one, Collection):
            continue
        if isinstance(other, Collection):
            if one.name == other.name or (one.name == "list" and other.name == "set"):
                return Collection(one.name, common(one.element, other.element))
            continue
        if one.name == "map" and isinstance(other, ObjectType):
            return Collection("map", _common_of([one.element, *other.attributes.values()]))
        if one.name in ("list", "set") and isinstance(other, TupleType):
            return Collection(one.name, _common_of([one.element, *other.elements]))
    raise ConversionError(f"{described(left)} and {described(right)} have no type in common")


def _common_of(types: Iterable[Type]) -> Type:
    found: Type = ANY
    for type_ in types:
        found = common(found, type_)
    return found


def described(type_: Type) -> str:
    match type_:
        case ObjectType():
            return "an object"
        case TupleType():
            return "a list"
        case Collection():
            return f"a {type_.name}"
        case _:
            return f"a {type_}"
