"""Functions that convert values, and that mark them as sensitive or not."""

from __future__ import annotations

from dstream.lang.convert import convert
from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.scope import Surroundings
from dstream.lang.types import BOOL, SET, Collection, ConversionError, ObjectType, Primitive, TupleType, Type, type_of
from dstream.lang.values import Sensitive, Unknown, Value, contains_sensitive, contains_unknown, kind, strip_sensitive


def _to(value: Value, type_: Type) -> Value:
    try:
        return convert(value, type_)
    except ConversionError as problem:
        raise FunctionError(problem.sentence(), 0) from None


@function("value: string|null", shallow=True)
def tostring(value: Value) -> Value:
    """Return a primitive value as a string."""
    return value


@function("value: number|null", shallow=True)
def tonumber(value: Value) -> Value:
    """Return a number, or a string that reads as one, as a number."""
    return value


@function("value: bool|null", shallow=True)
def tobool(value: Value) -> Value:
    """Return a bool, or a string that reads as one, as a bool."""
    return value


@function("value: list|null", shallow=True)
def tolist(value: Value) -> Value:
    """Return a list or set as a list whose elements have one type."""
    return value


@function("value: any|null", shallow=True, marked=True)
def toset(value: Value) -> Value:
    """Return a list as a set; a sensitive element makes the set sensitive, since its place depends on it."""
    if contains_sensitive(value):
        from dstream.lang.values import origins

        return Sensitive(_to(strip_sensitive(value), SET), origins(value) or ())
    return _to(value, SET)


@function("value: map|null", shallow=True)
def tomap(value: Value) -> Value:
    """Return an object as a map whose elements have one type."""
    return value


@function("value: any|null", surrounded=True, marked=True, shallow=True)
def sensitive(surroundings: Surroundings, value: Value) -> Value:
    """Mark a value as one that must not be shown."""
    surroundings.secret_texts.add(value)
    return value if isinstance(value, Sensitive) else Sensitive(value, {"sensitive()"})


@function("value: any|null", surrounded=True, marked=True, shallow=True)
def nonsensitive(surroundings: Surroundings, value: Value) -> Value:
    """Remove the sensitive mark from a value."""
    surroundings.secret_texts.open(value)
    return strip_sensitive(value)


@function("value: any|null", shallow=True)
def ephemeralasnull(value: Value) -> Value:
    """Return the value unchanged, since no value is ephemeral."""
    return value


@function("value: any|null", marked=True, shallow=True)
def issensitive(value: Value) -> Value:
    """Return whether a value is marked as sensitive."""
    if isinstance(value, Sensitive):
        return True
    return Unknown(BOOL) if isinstance(value, Unknown) else False


@function("value: any|null")
def type(value: Value) -> Value:
    """Return the type of a value as text; for `dstream console`."""
    return kind(value).split()[-1] if contains_unknown(value) else _written(type_of(value))


def _written(type_: Type) -> str:
    match type_:
        case Primitive():
            return type_.name if type_.name != "any" else "dynamic"
        case Collection():
            return f"{type_.name}({_written(type_.element)})"
        case TupleType():
            return "tuple([" + ", ".join(map(_written, type_.elements)) + "])"
        case ObjectType():
            return "object({" + ", ".join(f"{n} = {_written(t)}" for n, t in type_.attributes.items()) + "})"
