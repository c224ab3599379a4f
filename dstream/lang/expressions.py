"""evaluate: an expression and a scope -> a value, with HCL's semantics.

Unknown values make what depends on them unknown, sensitive ones make it sensitive. Errors carry the place of the
part of the expression that is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dstream.config import syntax
from dstream.diagnostics import DiagnosticsError
from dstream.lang import operators
from dstream.lang.operators import OperatorError, truth
from dstream.lang.problems import choose, hidden, problem, sentence
from dstream.lang.scope import Namespace, Scope
from dstream.lang.types import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    ConversionError,
    Primitive,
    common,
    convert_loosely,
    to_number,
    to_string,
    type_of,
)
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, kind, mark

Marks = frozenset[str] | None


def evaluate(expr: syntax.Expr, scope: Scope) -> Value:
    """Return the value of an expression; raise DiagnosticsError."""
    try:
        return _evaluate(expr, scope)
    except RecursionError:
        detail = "The expression nests too deeply to be evaluated. Move inner parts into locals."
        raise problem("Nested too deeply", detail, expr) from None


def _evaluate(expr: syntax.Expr, scope: Scope) -> Value:
    return _EVALUATORS[type(expr)](expr, scope)


# Names


def _literal(expr: syntax.Literal, scope: Scope) -> Value:
    return expr.value


def _variable(expr: syntax.Variable, scope: Scope) -> Value:
    found = _lookup(expr, scope)
    return found.all() if isinstance(found, Namespace) else found


def _lookup(expr: syntax.Variable, scope: Scope) -> Value | Namespace:
    try:
        return scope.lookup(expr.name)
    except KeyError:
        raise _undeclared(expr, scope) from None


def _undeclared(expr: syntax.Variable, scope: Scope) -> DiagnosticsError:
    name = expr.name
    for space in ("local", "var"):
        try:
            members = scope.lookup(space)
        except KeyError:
            continue
        if isinstance(members, Namespace) and name in members.names():
            detail = f"There is no {name} here, but there is {space}.{name}. Did you mean that?"
            return problem("Unknown name", detail, expr)
    after = expr.source.text[expr.end : expr.end + 1]
    if after not in (".", "["):
        detail = (
            f'{name} is no name that can be used here. If it is meant as text, put it into quotation marks: "{name}".'
        )
        return problem("Unknown name", detail, expr)
    known = [other for other in scope.names() if other.isidentifier()]
    detail = f"There is no {name} here: no resource of this type is declared.{choose(name, known, 'name')}"
    return problem("Unknown name", detail, expr)


def _get_attr(expr: syntax.GetAttr, scope: Scope) -> Value:
    if isinstance(expr.value, syntax.Variable):
        value = _lookup(expr.value, scope)
        if isinstance(value, Namespace):
            return _member(value, expr, scope)
    else:
        value = _evaluate(expr.value, scope)
    return _attribute(value, expr)


def _member(space: Namespace, expr: syntax.GetAttr, scope: Scope) -> Value:
    try:
        return space.get(expr.name)
    except KeyError:
        detail = f"There is no {expr.text}.{choose(expr.name, space.names(), space.what)}"
        raise problem(f"Unknown {space.what}", detail, expr) from None


def _attribute(value: Value, expr: syntax.GetAttr) -> Value:
    name = expr.name
    if isinstance(value, Sensitive):
        if isinstance(value.value, dict) and name not in value.value:
            raise problem("Unknown attribute", f'This sensitive object has no attribute "{name}".', expr.name_range)
        return Sensitive(_attribute(value.value, expr), value.origins)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        detail = f'This object has no attribute "{name}".{choose(name, value, "attribute")}'
        raise problem("Unknown attribute", detail, expr.name_range)
    if isinstance(value, Unknown):
        return _part_of_unknown(value, name)
    if value is None:
        detail = (
            f'{expr.value.text} is null, so it has no attribute "{name}". To allow for that: try({expr.text}, null).'
        )
        raise problem("Attribute of null", detail, expr)
    if isinstance(value, list | tuple | SetValue):
        detail = (
            f'{_sentence_kind(value)} has no attribute "{name}". For that of one element write [0].{name}, for those '
            f"of all [*].{name}."
        )
        raise problem("Unknown attribute", detail, expr.name_range)
    raise problem("Unknown attribute", f'{_sentence_kind(value)} has no attribute "{name}".', expr.name_range)


def _part_of_unknown(value: Unknown, name: str) -> Value:
    inner = getattr(value.type, "attributes", None)
    if isinstance(inner, dict) and name in inner:
        return Unknown(inner[name])
    return Unknown(getattr(value.type, "element", None))


def _sentence_kind(value: Value) -> str:
    return kind(value).capitalize()


def _index(expr: syntax.Index, scope: Scope) -> Value:
    if isinstance(expr.value, syntax.Variable):
        value = _lookup(expr.value, scope)
        if isinstance(value, Namespace):
            value = value.all()
    else:
        value = _evaluate(expr.value, scope)
    key = _evaluate(expr.key, scope)
    value, key, marks = operators.operands(value, key)
    if marks is not None:
        with hidden("Invalid index", "The list, object or index is sensitive, and there is no such element.", expr):
            return Sensitive(_element(value, key, expr), marks)
    return _element(value, key, expr)


def _element(value: Value, key: Value, expr: syntax.Index) -> Value:
    if value is None:
        raise problem("Element of null", f"{expr.value.text} is null, so it has no elements.", expr)
    if isinstance(value, Unknown) or isinstance(key, Unknown):
        return Unknown(getattr(getattr(value, "type", None), "element", None))
    if key is None:
        raise problem(
            "Invalid index", "The index is null. It is a number for a list, a string for an object.", expr.key
        )
    if isinstance(value, dict):
        try:
            name = to_string(key)
        except ConversionError:
            raise problem("Invalid index", f"An object is indexed by a string, not {kind(key)}.", expr.key) from None
        if name in value:
            return value[name]
        raise problem("Invalid index", f'There is no "{name}" in this object.{choose(name, value, "key")}', expr.key)
    if isinstance(value, list | tuple):
        return value[_position(value, key, expr)]
    if isinstance(value, SetValue):
        detail = "The elements of a set have no index. Use tolist(...) where an order is known, or one(...)."
        raise problem("Invalid index", detail, expr)
    raise problem("Invalid index", f"{_sentence_kind(value)} has no elements.", expr)


def _position(value: list[Value] | tuple[Value, ...], key: Value, expr: syntax.Index) -> int:
    try:
        index = to_number(key)
    except ConversionError:
        raise problem("Invalid index", f"A list is indexed by a number, not {kind(key)}.", expr.key) from None
    if not isinstance(index, int):
        raise problem("Invalid index", f"A list is indexed by a whole number, not {index}.", expr.key)
    if not 0 <= index < len(value):
        last = f"its last index is {len(value) - 1}" if value else "it is empty"
        raise problem(
            "Invalid index", f"The list has {_elements(len(value))} ({last}); there is no [{index}].", expr.key
        )
    return index


def _elements(count: int) -> str:
    return "1 element" if count == 1 else f"{count} elements"


# Splats


def _splat(expr: syntax.Splat, scope: Scope) -> Value:
    value = _evaluate(expr.value, scope)
    marks: Marks = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if value is None:
        return mark([], marks)
    if isinstance(value, Unknown):
        return mark(Unknown(), marks)
    items = list(value) if isinstance(value, list | tuple | SetValue) else [value]
    name = _splat_name(expr.symbol)
    return mark([_evaluate(expr.item, scope.bind({name: item})) for item in items], marks)


def _splat_item(expr: syntax.SplatItem, scope: Scope) -> Value:
    return scope.lookup(_splat_name(expr))


def _splat_name(symbol: syntax.SplatItem) -> str:
    return f"[*]{symbol.start}"


# Operators


def _parentheses(expr: syntax.Parentheses, scope: Scope) -> Value:
    return _evaluate(expr.value, scope)


def _unary(expr: syntax.Unary, scope: Scope) -> Value:
    value = _evaluate(expr.value, scope)
    if isinstance(value, Sensitive):
        detail = f"What follows {expr.operator} is sensitive, and not what {expr.operator} takes."
        with hidden("Invalid operand", detail, expr):
            return Sensitive(_unary_of(expr, value.value), value.origins)
    return _unary_of(expr, value)


def _unary_of(expr: syntax.Unary, value: Value) -> Value:
    if isinstance(value, Unknown):
        return Unknown(NUMBER if expr.operator == "-" else BOOL)
    if expr.operator == "-":
        try:
            if value is None:
                raise ConversionError("a number is required, not null")
            return -to_number(value)
        except ConversionError as wrong:
            raise problem("Invalid operand", sentence(f"after -, {wrong.message}"), expr.value) from None
    try:
        return not truth("what follows !", value)
    except OperatorError as wrong:
        raise problem("Invalid operand", sentence(wrong.message), expr.value) from None


def _binary(expr: syntax.Binary, scope: Scope) -> Value:
    # A long chain such as a + b + c nests to the left; going down in a loop keeps it flat.
    chain = []
    leftmost: syntax.Expr = expr
    while isinstance(leftmost, syntax.Binary):
        chain.append(leftmost)
        leftmost = leftmost.left
    value = _evaluate(leftmost, scope)
    for node in reversed(chain):
        value = _logical(node, value, scope) if node.operator in ("&&", "||") else _operate(node, value, scope)
    return value


def _logical(expr: syntax.Binary, left: Value, scope: Scope) -> Value:
    decides = expr.operator == "||"
    marks: Marks = None
    try:
        if isinstance(left, Sensitive):
            marks, left = left.origins, left.value
        known = not isinstance(left, Unknown)
        if known and truth(f"the left side of {expr.operator}", left, 0) == decides:
            return mark(decides, marks)
        right = _evaluate(expr.right, scope)
        _, right, more = operators.operands(None, right)
        marks = more if marks is None else marks | more if more is not None else marks
        if isinstance(right, Unknown):
            return mark(Unknown(BOOL), marks)
        result = truth(f"the right side of {expr.operator}", right, 1)
        if known or result == decides:
            return mark(result, marks)
        return mark(Unknown(BOOL), marks)
    except OperatorError as wrong:
        raise problem("Invalid operand", sentence(wrong.message), expr.right if wrong.side else expr.left) from None


def _operate(expr: syntax.Binary, left: Value, scope: Scope) -> Value:
    right = _evaluate(expr.right, scope)
    left, right, marks = operators.operands(left, right)
    operator = expr.operator
    if operator in ("==", "!="):
        return _compare(operator, left, right, marks)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return mark(Unknown(operators.RESULTS[operator]), marks)
    if marks is not None:
        detail = f"{operator} takes two numbers; one side is sensitive, so what it is instead is not shown."
        with hidden("Invalid operand", detail, expr):
            return Sensitive(_operation(expr, left, right), marks)
    return _operation(expr, left, right)


def _operation(expr: syntax.Binary, left: Value, right: Value) -> Value:
    operator = expr.operator
    try:
        if operator in ("<", ">", "<=", ">="):
            return operators.ordered(operator, left, right)
        return operators.arithmetic(operator, left, right)
    except OperatorError as wrong:
        at = expr if wrong.side is None else expr.right if wrong.side else expr.left
        raise problem("Invalid operand", sentence(wrong.message), at) from None


def _compare(operator: str, left: Value, right: Value, marks: Marks) -> Value:
    from dstream.lang.values import origins

    if isinstance(left, dict | list | tuple | SetValue) or isinstance(right, dict | list | tuple | SetValue):
        for inner in (origins(left), origins(right)):
            if inner is not None:
                marks = inner if marks is None else marks | inner
    result = operators.equal(left, right)
    if result is None:
        return mark(Unknown(BOOL), marks)
    return mark(result == (operator == "=="), marks)


def _conditional(expr: syntax.Conditional, scope: Scope) -> Value:
    condition = _evaluate(expr.condition, scope)
    marks: Marks = None
    if isinstance(condition, Sensitive):
        marks, condition = condition.origins, condition.value
    if isinstance(condition, Unknown):
        return mark(_either(expr, scope), marks)
    try:
        chosen_yes = truth("the condition", condition)
    except OperatorError as wrong:
        raise problem("Invalid condition", sentence(wrong.message), expr.condition) from None
    chosen, other = (expr.yes, expr.no) if chosen_yes else (expr.no, expr.yes)
    value = _evaluate(chosen, scope)
    try:
        counterpart = _evaluate(other, scope)
    except DiagnosticsError:
        return mark(value, marks)  # the branch that is not taken may fail, and then has no say in the type
    return mark(_unified(expr, value, counterpart), marks)


def _either(expr: syntax.Conditional, scope: Scope) -> Value:
    yes, no = _evaluate(expr.yes, scope), _evaluate(expr.no, scope)
    yes, no, marks = operators.operands(yes, no)
    _unified(expr, yes, no)
    try:
        type_ = common(type_of(yes), type_of(no))
    except ConversionError:
        type_ = ANY
    return mark(Unknown(None if type_ is ANY else type_), marks)


def _unified(expr: syntax.Conditional, value: Value, other: Value) -> Value:
    """Return the chosen value as the type that both branches can have."""
    mine, theirs = type_of(value), type_of(other)
    if mine is ANY or theirs is ANY or mine == theirs:
        return value
    try:
        shared = common(mine, theirs)
        if isinstance(shared, Primitive) and mine == shared:
            return value
        return convert_loosely(value, shared)
    except ConversionError as wrong:
        detail = (
            f"Both results of a conditional need a type in common, but {wrong.message}: "
            f"the one that is taken here is {kind(value)}, the other one {kind(other)}."
        )
        raise problem("Results of different types", detail, expr) from None


# Collections


def _tuple(expr: syntax.TupleExpr, scope: Scope) -> Value:
    return [_evaluate(item, scope) for item in expr.items]


def _object(expr: syntax.ObjectExpr, scope: Scope) -> Value:
    made: dict[str, Value] = {}
    marks: Marks = None
    unknown = False
    for key_expr, value_expr in expr.items:
        if isinstance(key_expr, syntax.Literal) and isinstance(key_expr.value, str):
            made[key_expr.value] = _evaluate(value_expr, scope)
            continue
        key = _evaluate(key_expr, scope)
        if isinstance(key, Sensitive):
            marks = key.origins if marks is None else marks | key.origins
            key = key.value
        value = _evaluate(value_expr, scope)
        if isinstance(key, Unknown):
            unknown = True
        else:
            made[_key(key, key_expr)] = value
    return mark(Unknown() if unknown else _sorted(made), marks)


def _sorted(made: dict[str, Value]) -> dict[str, Value]:
    return {name: made[name] for name in sorted(made)}


def _key(key: Value, expr: syntax.Expr) -> str:
    if key is None:
        raise problem("Invalid key", "The key is null. Keys are strings.", expr)
    try:
        return to_string(key)
    except ConversionError:
        raise problem("Invalid key", f"Keys are strings, and this is {kind(key)}.", expr) from None


def _for(expr: syntax.For, scope: Scope) -> Value:
    collection = _evaluate(expr.collection, scope)
    marks: Marks = None
    if isinstance(collection, Sensitive):
        marks, collection = collection.origins, collection.value
    if isinstance(collection, Unknown):
        return mark(Unknown(), marks)
    items: list[Value] = []
    groups: dict[str, list[Value]] = {}
    made: dict[str, Value] = {}
    unknown = False
    for key, value in _pairs(collection, expr.collection):
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
        result = _evaluate(expr.value, inner)
        if expr.key is None:
            items.append(result)
            continue
        name = _evaluate(expr.key, inner)
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
                f"Two elements have {shown}. Make the keys differ, or gather the values of equal keys in "
                "lists by ... after the value: {for ... : key => value...}."
            )
            raise problem("Duplicate key", detail, expr.key)
        else:
            made[text] = result
    if unknown:
        return mark(Unknown(), marks)
    if expr.key is None:
        return mark(items, marks)
    return mark(_sorted(dict(groups) if expr.grouping else made), marks)


def _pairs(collection: Value, expr: syntax.Expr) -> Iterable[tuple[Value, Value]]:
    if isinstance(collection, dict):
        return ((key, collection[key]) for key in sorted(collection))
    if isinstance(collection, list | tuple):
        return enumerate(collection)
    if isinstance(collection, SetValue):
        return ((item, item) for item in collection)
    if collection is None:
        detail = f"{expr.text} is null. To take that as empty: coalesce({expr.text}, [])."
        raise problem("Null in for", detail, expr)
    raise problem(
        "Invalid collection in for", f"for goes over a list, set, map or object, not {kind(collection)}.", expr
    )


def _filter(condition: syntax.Expr, scope: Scope) -> tuple[bool | None, Marks]:
    value = _evaluate(condition, scope)
    marks: Marks = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if isinstance(value, Unknown):
        return None, marks
    try:
        return truth("the condition after if", value), marks
    except OperatorError as wrong:
        raise problem("Invalid condition", sentence(wrong.message), condition) from None


# Templates


class _TextBuilder:
    """Puts the parts of a template together."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.unknown = False
        self.marks: Marks = None

    def add_marks(self, marks: Marks) -> None:
        if marks is not None:
            self.marks = marks if self.marks is None else self.marks | marks

    def add(self, part: syntax.Expr, scope: Scope) -> None:
        if isinstance(part, syntax.Literal) and isinstance(part.value, str):
            self.texts.append(part.value)
        elif isinstance(part, syntax.TemplateIf):
            self._add_if(part, scope)
        elif isinstance(part, syntax.TemplateFor):
            self._add_for(part, scope)
        else:
            self._add_value(part, _evaluate(part, scope))

    def add_all(self, template: syntax.Template, scope: Scope) -> None:
        for part in template.parts:
            self.add(part, scope)

    def _add_value(self, part: syntax.Expr, value: Value) -> None:
        if isinstance(value, Sensitive):
            self.add_marks(value.origins)
            value = value.value
        if isinstance(value, Unknown):
            self.unknown = True
        elif value is None:
            detail = (
                f"{part.text} is null, which cannot be put into a text. Give a text for that case: "
                f'{part.text} == null ? "" : {part.text}.'
            )
            raise problem("Null in a template", detail, part)
        else:
            try:
                self.texts.append(to_string(value))
            except ConversionError:
                how = 'join(", ", ...) or jsonencode(...)' if isinstance(value, list) else "jsonencode(...)"
                detail = f"{kind(value).capitalize()} cannot be put into a text. Use {how} to say how it reads."
                raise problem("Invalid value in a template", detail, part) from None

    def _add_if(self, part: syntax.TemplateIf, scope: Scope) -> None:
        value = _evaluate(part.condition, scope)
        if isinstance(value, Sensitive):
            self.add_marks(value.origins)
            value = value.value
        if isinstance(value, Unknown):
            self.unknown = True
            return
        try:
            chosen = part.yes if truth("the condition of %{ if }", value) else part.no
        except OperatorError as wrong:
            raise problem("Invalid condition", sentence(wrong.message), part.condition) from None
        if chosen is not None:
            self.add_all(chosen, scope)

    def _add_for(self, part: syntax.TemplateFor, scope: Scope) -> None:
        collection = _evaluate(part.collection, scope)
        if isinstance(collection, Sensitive):
            self.add_marks(collection.origins)
            collection = collection.value
        if isinstance(collection, Unknown):
            self.unknown = True
            return
        for key, value in _pairs(collection, part.collection):
            names = {part.value_name: value} if part.key_name is None else {part.key_name: key, part.value_name: value}
            self.add_all(part.body, scope.bind(names))

    def result(self) -> Value:
        return mark(Unknown(STRING) if self.unknown else "".join(self.texts), self.marks)


def _template(expr: syntax.Template, scope: Scope) -> Value:
    builder = _TextBuilder()
    builder.add_all(expr, scope)
    return builder.result()


def _directive(expr: syntax.TemplateIf | syntax.TemplateFor, scope: Scope) -> Value:
    builder = _TextBuilder()
    builder.add(expr, scope)
    return builder.result()


def _template_wrap(expr: syntax.TemplateWrap, scope: Scope) -> Value:
    return _evaluate(expr.value, scope)


def _call(expr: syntax.Call, scope: Scope) -> Value:
    from dstream.lang.calls import call

    return call(expr, scope)


_EVALUATORS: dict[type, Callable[[Any, Scope], Value]] = {
    syntax.Literal: _literal,
    syntax.Variable: _variable,
    syntax.GetAttr: _get_attr,
    syntax.Index: _index,
    syntax.Splat: _splat,
    syntax.SplatItem: _splat_item,
    syntax.Parentheses: _parentheses,
    syntax.Unary: _unary,
    syntax.Binary: _binary,
    syntax.Conditional: _conditional,
    syntax.TupleExpr: _tuple,
    syntax.ObjectExpr: _object,
    syntax.For: _for,
    syntax.Template: _template,
    syntax.TemplateIf: _directive,
    syntax.TemplateFor: _directive,
    syntax.TemplateWrap: _template_wrap,
    syntax.Call: _call,
}
