"""Names: evaluates variables, attributes, indexes and splats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dstream.config.syntax import tree
from dstream.diagnostics import DiagnosticsError
from dstream.lang import operators
from dstream.lang.convert import convert, is_primitive, to_number, to_string
from dstream.lang.dispatch import EVALUATORS, Marks, evaluate_inner
from dstream.lang.errors import choose, hidden, problem, sentence
from dstream.lang.result_types import element_type
from dstream.lang.scope import Namespace, Scope
from dstream.lang.types import NUMBER, STRING, Collection, ConversionError, ObjectType, TupleType, Type, type_of
from dstream.lang.values import ListValue, Sensitive, SetValue, Unknown, Value, kind, mark

_ONLY_IN = {
    "each": "in blocks that have for_each, where it is each.key and each.value",
    "count": "in blocks that have count, where it is count.index",
    "self": "in postcondition blocks, where it is the object itself",
    "task": "as an address, in depends_on and replace_triggered_by; a task has no values for expressions",
    "output": "outside of the configuration: outputs are for other programs. Refer to their values directly",
    "provider": "as an address; the settings of a provider cannot be read. Define the shared value as a local",
}
"""Names that start with a word of the language, and where alone they can be used."""


_ELSEWHERE = {
    "terraform": "dstream has no object named terraform. The name of the workspace is dstream.workspace.",
    "tofu": "dstream has no object named tofu. The name of the workspace is dstream.workspace.",
    "module": "dstream has no modules. Use variable files for values that configurations share.",
    "data": "dstream has no data sources. The attributes of an object are those of its resource.",
}
"""Names of Terraform that dstream does not have, and what to use instead."""


_CONSTANTS = {
    **dict.fromkeys(("True", "TRUE", "yes", "Yes", "on"), "true"),
    **dict.fromkeys(("False", "FALSE", "no", "No", "off"), "false"),
    **dict.fromkeys(("None", "Null", "NULL", "nil", "undefined"), "null"),
}
"""Constants of other languages, and what they are here."""
_SPACES = {"locals": "local", "variable": "var", "variables": "var", "vars": "var"}
"""Words that are meant as the root of a reference."""
_MEMBER = re.compile(r"\.[\w-]+")


def _variable(expr: tree.Variable, scope: Scope) -> Value:
    found = _lookup(expr, scope)
    return found.all() if isinstance(found, Namespace) else found


def _lookup(expr: tree.Variable, scope: Scope) -> Value | Namespace:
    try:
        return scope.lookup(expr.name)
    except KeyError:
        raise _undeclared(expr, scope) from None


def _undeclared(expr: tree.Variable, scope: Scope) -> DiagnosticsError:
    name = expr.name
    for space in ("local", "var"):
        try:
            members = scope.lookup(space)
        except KeyError:
            continue
        if isinstance(members, Namespace) and name in members.names():
            detail = f"There is no {name} here, but there is {space}.{name}. Did you mean that?"
            return problem("Unknown name", detail, expr)
    if name in _ELSEWHERE:
        raise problem("Unknown name", _ELSEWHERE[name], expr)
    if name in _ONLY_IN:
        raise problem("Unknown name", f"{name} can be used only {_ONLY_IN[name]}.", expr)
    if name in _CONSTANTS:
        return problem("Unknown name", f"{name} is written {_CONSTANTS[name]}.", expr)
    if name in _SPACES and (member := _MEMBER.match(expr.source.text, expr.end)) is not None:
        return problem("Unknown name", f"{name} cannot be referred to. Write {_SPACES[name]}{member[0]}.", expr)
    after = expr.source.text[expr.end : expr.end + 1]
    if after not in (".", "["):
        detail = f'{name} is not defined here. If it is meant as text, enclose it in quotation marks: "{name}".'
        return problem("Unknown name", detail, expr)
    known = [other for other in scope.names() if other.isidentifier()]
    detail = f"No resource of type {name} is declared.{choose(name, known, 'name')}"
    return problem("Unknown name", detail, expr)


def _get_attr(expr: tree.GetAttr, scope: Scope) -> Value:
    if isinstance(expr.value, tree.Variable):
        value = _lookup(expr.value, scope)
        if isinstance(value, Namespace):
            return _member(value, expr)
    else:
        value = evaluate_inner(expr.value, scope)
    return _attribute(value, expr)


def _member(space: Namespace, expr: tree.GetAttr) -> Value:
    try:
        return space.get(expr.name)
    except KeyError:
        detail = f"There is no {expr.text}.{choose(expr.name, space.names(), space.what)}"
        raise problem("Unknown local" if space.what == "local" else "Unknown variable", detail, expr) from None


def _attribute(value: Value, expr: tree.GetAttr) -> Value:
    name = expr.name
    if isinstance(value, Sensitive):
        if isinstance(value.value, dict) and name not in value.value:
            raise problem("Unknown attribute", f'This sensitive object has no attribute "{name}".', expr.name_range)
        return Sensitive(_attribute(value.value, expr), value.origins)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        raise _no_attribute(expr, value)
    if isinstance(value, Unknown):
        if is_primitive(value):
            raise problem("Unknown attribute", f'A {value.type} has no attribute "{name}".', expr.name_range)
        return Unknown(_type_of_attribute(value.type, expr))
    if value is None:
        detail = f'{expr.value.text} is null, so it has no attribute "{name}". Use try({expr.text}, null) to allow it.'
        raise problem("Attribute of null", detail, expr)
    if isinstance(value, list | tuple | SetValue):
        raise _attribute_of_many(expr, _sentence_kind(value))
    raise problem("Unknown attribute", f'{_sentence_kind(value)} has no attribute "{name}".', expr.name_range)


def _type_of_attribute(type_: Type | None, expr: tree.GetAttr) -> Type | None:
    """Return the type of an attribute of an unknown value; None where that is unknown too."""
    match type_:
        case ObjectType():
            if expr.name not in type_.attributes:
                raise _no_attribute(expr, type_.attributes)
            return type_.attributes[expr.name]
        case Collection("map"):
            return type_.element
        case Collection():
            raise _attribute_of_many(expr, f"A {type_.name}")
        case TupleType():
            raise _attribute_of_many(expr, "A list")
    return None


def _no_attribute(expr: tree.GetAttr, known: Iterable[str]) -> DiagnosticsError:
    detail = f'This object has no attribute "{expr.name}".{choose(expr.name, known, "attribute")}'
    return problem("Unknown attribute", detail, expr.name_range)


def _attribute_of_many(expr: tree.GetAttr, what: str) -> DiagnosticsError:
    name = expr.name
    detail = f'{what} has no attribute "{name}". Use [0].{name} for one element, [*].{name} for all of them.'
    return problem("Unknown attribute", detail, expr.name_range)


def _sentence_kind(value: Value) -> str:
    return kind(value).capitalize()


def _index(expr: tree.Index, scope: Scope) -> Value:
    if isinstance(expr.value, tree.Variable):
        value = _lookup(expr.value, scope)
        if isinstance(value, Namespace):
            value = value.all()
    else:
        value = evaluate_inner(expr.value, scope)
    key = evaluate_inner(expr.key, scope)
    value, key, marks = operators.operands(value, key)
    if marks is not None:
        with hidden(
            "Invalid index",
            "The element does not exist. The list, object or index is sensitive, so it is not shown.",
            expr,
        ):
            return Sensitive(_element(value, key, expr), marks)
    return _element(value, key, expr)


def _element(value: Value, key: Value, expr: tree.Index) -> Value:
    if value is None:
        raise problem("Element of null", f"{expr.value.text} is null, so it has no elements.", expr)
    if isinstance(value, Unknown) and is_primitive(value):
        raise problem("Invalid index", f"A {value.type} has no elements.", expr)
    if isinstance(key, Unknown) and isinstance(value, list | dict):
        try:
            convert(key, STRING if isinstance(value, dict) else NUMBER)
        except ConversionError as wrong:
            raise problem("Invalid index", sentence(wrong.message), expr.key) from None
    if isinstance(value, Unknown) and isinstance(value.type, ObjectType) and isinstance(key, str):
        if key not in value.type.attributes:
            raise _no_key(expr, key, value.type.attributes)
        return Unknown(value.type.attributes[key])
    if isinstance(value, Unknown) and isinstance(value.type, TupleType) and not isinstance(key, Unknown | None):
        elements = value.type.elements
        return Unknown(elements[_position(elements, key, expr)])
    if isinstance(value, Unknown) or isinstance(key, Unknown):
        return Unknown(element_type(value))
    if key is None:
        raise problem("Invalid index", "The index is null. A list takes a number, an object a string.", expr.key)
    if isinstance(value, dict):
        try:
            name = to_string(key)
        except ConversionError:
            raise problem("Invalid index", f"An object is indexed by a string, not {kind(key)}.", expr.key) from None
        if name in value:
            return value[name]
        raise _no_key(expr, name, value)
    if isinstance(value, list | tuple):
        return value[_position(value, key, expr)]
    if isinstance(value, SetValue):
        detail = "The elements of a set have no index. Use tolist(...), or one(...) for its only element."
        raise problem("Invalid index", detail, expr)
    raise problem("Invalid index", f"{_sentence_kind(value)} has no elements.", expr)


def _no_key(expr: tree.Index, name: str, known: Iterable[str]) -> DiagnosticsError:
    return problem("Invalid index", f'This object has no key "{name}".{choose(name, known, "key")}', expr.key)


def _position(value: Sequence[Any], key: Value, expr: tree.Index) -> int:
    try:
        index = to_number(key)
    except ConversionError:
        raise problem("Invalid index", f"A list is indexed by a number, not {kind(key)}.", expr.key) from None
    if not isinstance(index, int):
        raise problem("Invalid index", f"A list index must be a whole number, not {index}.", expr.key)
    if not 0 <= index < len(value):
        last = f"its last index is {len(value) - 1}" if value else "it is empty"
        raise problem(
            "Invalid index", f"The list has {_elements(len(value))} ({last}); [{index}] does not exist.", expr.key
        )
    return index


def _elements(count: int) -> str:
    return "1 element" if count == 1 else f"{count} elements"


# Splats


def _splat(expr: tree.Splat, scope: Scope) -> Value:
    value = evaluate_inner(expr.value, scope)
    marks: Marks = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if value is None:
        return mark([], marks)
    name = _splat_name(expr.symbol)
    if isinstance(value, Unknown) and value.not_null and is_primitive(value):
        value = [value]
    if isinstance(value, Unknown):
        return mark(Unknown(_splat_type(expr, value, scope)), marks)
    items = list(value) if isinstance(value, list | tuple | SetValue) else [value]
    found = [evaluate_inner(expr.item, scope.bind({name: item})) for item in items]
    return mark(ListValue(found) if isinstance(value, ListValue | SetValue) else found, marks)


def _splat_type(expr: tree.Splat, value: Unknown, scope: Scope) -> Type | None:
    """Return the type of a splat over an unknown value, None where it is unknown; check the names in the item."""

    def of(element: Unknown) -> Type:
        return type_of(evaluate_inner(expr.item, scope.bind({_splat_name(expr.symbol): element})))

    match value.type:
        case Collection("list" | "set"):
            return Collection("list", of(Unknown(value.type.element)))
        case TupleType():
            return TupleType(tuple(of(Unknown(element)) for element in value.type.elements))
    of(value)
    return None


def _splat_item(expr: tree.SplatItem, scope: Scope) -> Value:
    return scope.lookup(_splat_name(expr))


def _splat_name(symbol: tree.SplatItem) -> str:
    return f"[*]{symbol.start}"


EVALUATORS.update(
    {
        tree.Variable: _variable,
        tree.GetAttr: _get_attr,
        tree.Index: _index,
        tree.Splat: _splat,
        tree.SplatItem: _splat_item,
    }
)
