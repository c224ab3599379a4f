"""Result types: the type of a function's result, for an unknown argument.

A result whose type does not depend on the arguments has it in a plan too, so that a conversion or a condition around it
gives the type that it has at apply. The types are those of OpenTofu's functions.
"""

from __future__ import annotations

from collections.abc import Sequence

from dstream.lang.types import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Collection,
    ConversionError,
    ObjectType,
    TupleType,
    Type,
    type_of,
)
from dstream.lang.values import ListValue, MapValue, SetValue, Unknown, Value, contains_unknown, unwrap

_STRING = """
    abspath basename base64decode base64encode base64gzip base64gunzip base64sha256 base64sha512 bcrypt chomp cidrhost
    cidrnetmask cidrsubnet dirname env file filebase64 filebase64sha256 filebase64sha512 filemd5 filesha1 filesha256
    filesha512 format formatdate indent join jsonencode lower md5 pathexpand plantimestamp replace rsadecrypt sha1
    sha256 sha512 strrev substr textdecodebase64 textencodebase64 timeadd timestamp title tostring trim trimprefix
    trimspace trimsuffix upper urlencode urldecode uuid uuidv5 yamlencode
"""
_NUMBER = "abs ceil floor index length log max min parseint pow signum sum timecmp tonumber"
_BOOL = "alltrue anytrue can cidrcontains contains endswith fileexists issensitive startswith strcontains tobool"
_NAMES = (
    (STRING, _STRING),
    (NUMBER, _NUMBER),
    (BOOL, _BOOL),
    (Collection("list", STRING), "cidrsubnets compact sort split"),
    (Collection("list", NUMBER), "range"),
    (Collection("set", STRING), "fileset"),
)
_TYPES = {name: type_ for type_, names in _NAMES for name in names.split()}
_OF_ELEMENT = frozenset({"element", "lookup"})
_OF_FIRST = frozenset({"distinct", "reverse", "slice"})


def result_type(function: str, given: Sequence[Value]) -> Type | None:
    """Return the type that the result of a function has, whatever is unknown of `given`; None if it may be any."""
    if function in _OF_ELEMENT and given:
        return element_type(given[0])
    if function in _OF_FIRST and given:
        found = _collection(given[0])
        return found if found is not None and found.name == "list" else None
    return _TYPES.get(function)


def element_type(value: Value) -> Type | None:
    """Return the type of any element of a list, set or map; None if it is not known, or the elements differ."""
    found = _collection(value)
    return None if found is None else found.element


def _collection(value: Value) -> Collection | None:
    """Return the type of a list, set or map, with all its parts if the elements are known; None if it is not known."""
    value = unwrap(value)
    if isinstance(value, Unknown):
        return value.type if isinstance(value.type, Collection) else None
    if not isinstance(value, ListValue | MapValue | SetValue) or contains_unknown(value):
        return None
    try:
        type_ = type_of(value)
    except ConversionError:
        return None
    return type_ if isinstance(type_, Collection) and _complete(type_) else None


def _complete(type_: Type) -> bool:
    match type_:
        case Collection(element=element):
            return _complete(element)
        case TupleType(elements=elements):
            return all(map(_complete, elements))
        case ObjectType(attributes=attributes):
            return all(map(_complete, attributes.values()))
        case _:
            return type_ is not ANY
