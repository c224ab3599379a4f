"""Lists, objects and `for` expressions."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from dstream.config.syntax import tree
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.lang.convert import is_primitive, to_string
from dstream.lang.dispatch import EVALUATORS, Marks, evaluate_all, evaluate_inner
from dstream.lang.errors import discarding, problem, sentence
from dstream.lang.operators import OperatorError, truth
from dstream.lang.scope import Scope
from dstream.lang.types import ConversionError
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, kind, mark


def _tuple(expr: tree.TupleExpr, scope: Scope) -> Value:
    return evaluate_all(expr.items, scope)


def _object(expr: tree.ObjectExpr, scope: Scope) -> Value:
    made: dict[str, Value] = {}
    marks: Marks = None
    unknown = False
    problems: list[Diagnostic] = []
    for key_expr, value_expr in expr.items:
        if isinstance(key_expr, tree.Literal) and isinstance(key_expr.value, str):
            try:
                made[key_expr.value] = evaluate_inner(value_expr, scope)
            except DiagnosticsError as wrong:
                problems.extend(wrong.diagnostics)
            continue
        if isinstance(key_expr, tree.GetAttr | tree.Index):
            detail = (
                f"If {key_expr.text} is a reference, put it in parentheses: ({key_expr.text}). "
                f'If it is a name, put it in quotation marks: "{key_expr.text}".'
            )
            raise problem("Ambiguous key", detail, key_expr)
        key = evaluate_inner(key_expr, scope)
        if isinstance(key, Sensitive):
            marks = key.origins if marks is None else marks | key.origins
            key = key.value
        value = evaluate_inner(value_expr, scope)
        if isinstance(key, Unknown):
            unknown = True
        else:
            made[_key(key, key_expr)] = value
    if problems:
        raise DiagnosticsError(problems)
    return mark(Unknown() if unknown else _sorted(made), marks)


def _sorted(made: dict[str, Value]) -> dict[str, Value]:
    return {name: made[name] for name in sorted(made)}


def _key(key: Value, expr: tree.Expr) -> str:
    if key is None:
        raise problem("Invalid key", "The key is null. Keys must be strings.", expr)
    try:
        return to_string(key)
    except ConversionError:
        raise problem("Invalid key", f"Keys must be strings, and this is {kind(key)}.", expr) from None


def _for(expr: tree.For, scope: Scope) -> Value:
    collection = evaluate_inner(expr.collection, scope)
    marks: Marks = None
    if isinstance(collection, Sensitive):
        marks, collection = collection.origins, collection.value
    if isinstance(collection, Unknown):
        refuse_primitive(collection, expr.collection)
        every_element = expr.key is None and expr.condition is None
        marks = _marks_of_choice(expr, scope, marks)
        return mark(Unknown(not_null=True, lengths=collection.lengths if every_element else (0, None)), marks)
    items: list[Value] = []
    groups: dict[str, list[Value]] = {}
    made: dict[str, Value] = {}
    unknown = False
    for key, value in pairs(collection, expr.collection):
        names = {expr.value_name: value} if expr.key_name is None else {expr.key_name: key, expr.value_name: value}
        inner = scope.bind(names)
        if expr.condition is not None:
            taken, more = _filter(expr.condition, inner)
            marks = more if marks is None else marks | more if more is not None else marks
            if taken is None:
                unknown = True
                continue
            if not taken:
                continue
        result = evaluate_inner(expr.value, inner)
        if expr.key is None:
            items.append(result)
            continue
        name = evaluate_inner(expr.key, inner)
        if isinstance(name, Sensitive):
            marks = name.origins if marks is None else marks | name.origins
            name = name.value
        if isinstance(name, Unknown):
            unknown = True
            continue
        text = _key(name, expr.key)
        if expr.grouping:
            groups.setdefault(text, []).append(result)
        elif text in made:
            shown = f'the key "{text}"' if marks is None else "the same key, which is sensitive"
            detail = (
                f"Two elements have {shown}. Make the keys unique, or group the values of equal keys in "
                "lists with ... after the value: {for ... : key => value...}."
            )
            raise problem("Duplicate key", detail, expr.key)
        else:
            made[text] = result
    if unknown:
        return mark(Unknown(not_null=True), marks)
    if expr.key is None:
        return mark(items, marks)
    return mark(_sorted(dict(groups) if expr.grouping else made), marks)


def _marks_of_choice(expr: tree.For, scope: Scope, marks: Marks) -> Marks:
    """Return the origins of a condition and a key, too, which decide what an unknown collection gives."""
    names = [expr.value_name] if expr.key_name is None else [expr.key_name, expr.value_name]
    inner = scope.bind(dict.fromkeys(names, Unknown()))
    for part in (expr.condition, expr.key):
        with suppress(DiagnosticsError), discarding():
            found = evaluate_inner(part, inner) if part is not None else None
            if isinstance(found, Sensitive):
                marks = found.origins if marks is None else marks | found.origins
    return marks


def refuse_primitive(collection: Unknown, expr: tree.Expr) -> None:
    """Raise DiagnosticsError if the type of an unknown value cannot be iterated over."""
    if is_primitive(collection):
        detail = f"for iterates over a list, set, map or object, not a {collection.type}."
        raise problem("Invalid collection in for", detail, expr)


def pairs(collection: Value, expr: tree.Expr) -> Iterable[tuple[Value, Value]]:
    """Return the keys and values that a `for` iterates over; raise DiagnosticsError at `expr`."""
    if isinstance(collection, dict):
        return ((key, collection[key]) for key in sorted(collection))
    if isinstance(collection, list | tuple):
        return enumerate(collection)
    if isinstance(collection, SetValue):
        return ((item, item) for item in collection)
    if collection is None:
        detail = f"{expr.text} is null. To treat null as empty: coalesce({expr.text}, [])."
        raise problem("Null in for", detail, expr)
    raise problem(
        "Invalid collection in for", f"for iterates over a list, set, map or object, not {kind(collection)}.", expr
    )


def _filter(condition: tree.Expr, scope: Scope) -> tuple[bool | None, Marks]:
    value = evaluate_inner(condition, scope)
    marks: Marks = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if isinstance(value, Unknown):
        return None, marks
    try:
        return truth("the condition after if", value), marks
    except OperatorError as wrong:
        raise problem("Invalid condition", sentence(wrong.message), condition) from None


EVALUATORS.update({tree.TupleExpr: _tuple, tree.ObjectExpr: _object, tree.For: _for})
