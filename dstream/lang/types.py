"""Types: what a `variable` declares, what functions take, and how values become one of them.

Conversion follows Terraform: numbers and truth values become texts and back where the text reads as one; lists and
sets become each other; objects become maps; the elements of a collection have one type. Unknown values stay unknown
(with the type they will have), sensitive ones sensitive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from dstream.lang.values import ListValue, MapValue, Path, Sensitive, SetValue, Unknown, Value, kind, number


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


def convert(value: Value, type_: Type) -> Value:
    """Return a value as a type; raise ConversionError."""
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
    """Return what is not known yet as a type; raise ConversionError where it surely cannot become one."""
    if type_ is ANY or value.type is None or value.type is ANY:
        return Unknown(type_) if value.type is None and type_ is not ANY else value
    given = value.type
    if isinstance(type_, Primitive) != isinstance(given, Primitive) or not _possible(given, type_):
        raise ConversionError(f"{_described_wanted(type_)} is required, not {_described(given)}")
    return Unknown(type_) if isinstance(type_, Primitive) else value


def is_primitive(value: Value) -> bool:
    """Tell whether a value is not known, but known to be a string, number or bool."""
    return isinstance(value, Unknown) and isinstance(value.type, Primitive) and value.type is not ANY


def _possible(given: Type, wanted: Type) -> bool:
    if isinstance(given, Primitive) and isinstance(wanted, Primitive):
        return {given.name, wanted.name} != {"number", "bool"}
    maps = (isinstance(given, ObjectType) or (isinstance(given, Collection) and given.name == "map"),
            isinstance(wanted, ObjectType) or (isinstance(wanted, Collection) and wanted.name == "map"))  # fmt: skip
    return maps[0] == maps[1]


def _described_wanted(type_: Type) -> str:
    return "a tuple" if isinstance(type_, TupleType) else _described(type_)


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
        return format(value, "f")
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
    """Return the number that a text reads as; raise ConversionError."""
    if text and text.isascii() and not (text[0].isspace() or text[-1].isspace() or "_" in text):
        try:
            found = Decimal(text)
        except InvalidOperation:
            found = Decimal("NaN")
        if found.is_finite() and abs(found.adjusted()) <= 10_000:
            return number(found)
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    raise ConversionError(f'a number is required, and "{shown}" reads as none')


def to_bool(value: Value) -> bool:
    """Return a known primitive value as a truth value; raise ConversionError."""
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
    made = []
    for step, item in zip(steps, items, strict=True):
        try:
            made.append(convert(item, element))
        except ConversionError as problem:
            raise problem.inside(step) from None
    return made


def _tuple(value: Value, type_: TupleType) -> Value:
    if not isinstance(value, list | tuple) or isinstance(value, ListValue):
        raise ConversionError(f"a tuple is required, not {kind(value)}")
    items = list(value)
    if len(items) != len(type_.elements):
        raise ConversionError(f"a tuple of {len(type_.elements)} elements is required, not of {len(items)}")
    made = []
    for index, (item, element) in enumerate(zip(items, type_.elements, strict=True)):
        try:
            made.append(convert(item, element))
        except ConversionError as problem:
            raise problem.inside(index) from None
    return made


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


# What one type all of several values can have


def unify(values: Iterable[Value]) -> list[Value]:
    """Return values converted to the one type that all can have; raise ConversionError if there is none."""
    items = list(values)
    found: Type = ANY
    first = True
    for item in items:
        type_ = type_of(item)
        if type_ is ANY:
            continue
        found = type_ if first else common(found, type_)
        first = False
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
    """Return a value as a type that was made by `common`, in which ANY leaves a part as it is."""
    if isinstance(type_, Collection) and type_.element is ANY and not isinstance(value, list | dict):
        return value
    return convert(value, type_)


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
    raise ConversionError(f"{_described(left)} and {_described(right)} have no type in common")


def _common_of(types: Iterable[Type]) -> Type:
    found: Type = ANY
    for type_ in types:
        found = common(found, type_)
    return found


def _described(type_: Type) -> str:
    match type_:
        case ObjectType():
            return "an object"
        case TupleType():
            return "a list"
        case Collection():
            return f"a {type_.name}"
        case _:
            return f"a {type_}"
