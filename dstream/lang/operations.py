"""Operations: evaluates operators and conditionals in expressions."""

from __future__ import annotations

import operator as operator_module
from decimal import Decimal

from dstream.config.syntax import tree
from dstream.diagnostics import DiagnosticsError
from dstream.lang import operators
from dstream.lang.convert import convert, convert_loosely, to_number
from dstream.lang.dispatch import EVALUATORS, Marks, evaluate_inner
from dstream.lang.errors import discarded, discarding, hidden, problem, sentence
from dstream.lang.operators import OperatorError, truth
from dstream.lang.refinements import either
from dstream.lang.scope import Scope
from dstream.lang.types import ANY, BOOL, NUMBER, ConversionError, Primitive, common, type_of
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, kind, mark, origins


def _parentheses(expr: tree.Parentheses, scope: Scope) -> Value:
    return evaluate_inner(expr.value, scope)


def _unary(expr: tree.Unary, scope: Scope) -> Value:
    value = evaluate_inner(expr.value, scope)
    if isinstance(value, Sensitive):
        detail = f"The operand of {expr.operator} is sensitive, and of the wrong type."
        with hidden("Invalid operand", detail, expr):
            return Sensitive(_unary_of(expr, value.value), value.origins)
    return _unary_of(expr, value)


def _unary_of(expr: tree.Unary, value: Value) -> Value:
    if isinstance(value, Unknown):
        type_ = NUMBER if expr.operator == "-" else BOOL
        try:
            convert(value, type_)
            return Unknown(type_, not_null=True)
        except ConversionError as wrong:
            raise problem("Invalid operand", sentence(f"after {expr.operator}, {wrong.message}"), expr.value) from None
    if expr.operator == "-":
        try:
            if value is None:
                raise ConversionError("a number is required, not null")
            number = to_number(value)
            return number.copy_negate() if isinstance(number, Decimal) else -number
        except ConversionError as wrong:
            raise problem("Invalid operand", sentence(f"after -, {wrong.message}"), expr.value) from None
    try:
        return not truth("what follows !", value)
    except OperatorError as wrong:
        raise problem("Invalid operand", sentence(wrong.message), expr.value) from None


def _binary(expr: tree.Binary, scope: Scope) -> Value:
    # A long chain such as a + b + c nests to the left; going down in a loop keeps it flat.
    chain = []
    leftmost: tree.Expr = expr
    while isinstance(leftmost, tree.Binary):
        chain.append(leftmost)
        leftmost = leftmost.left
    value = evaluate_inner(leftmost, scope)
    for node in reversed(chain):
        value = _logical(node, value, scope) if node.operator in ("&&", "||") else _operate(node, value, scope)
    return value


def _logical(expr: tree.Binary, left: Value, scope: Scope) -> Value:
    decides = expr.operator == "||"
    marks: Marks = None
    try:
        if isinstance(left, Sensitive):
            marks, left = left.origins, left.value
        known = not isinstance(left, Unknown)
        if known and truth(f"the left side of {expr.operator}", left, 0) == decides:
            return mark(decides, marks)
        right = evaluate_inner(expr.right, scope) if known else _possible(expr.right, scope)
        _, right, more = operators.operands(None, right)
        marks = more if marks is None else marks | more if more is not None else marks
        if isinstance(right, Unknown):
            return mark(Unknown(BOOL, not_null=True), marks)
        result = truth(f"the right side of {expr.operator}", right, 1)
        if known or result == decides:
            return mark(result, marks)
        return mark(Unknown(BOOL, not_null=True), marks)
    except OperatorError as wrong:
        raise problem("Invalid operand", sentence(wrong.message), expr.right if wrong.side else expr.left) from None


def _operate(expr: tree.Binary, left: Value, scope: Scope) -> Value:
    right = evaluate_inner(expr.right, scope)
    operator = expr.operator
    if type(left) is int and type(right) is int and operator in _OF_INTEGERS:
        return _OF_INTEGERS[operator](left, right)
    left, right, marks = operators.operands(left, right)
    if operator in ("==", "!="):
        return _compare(operator, left, right, marks)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        _fits(expr, left, right, marks)
        return mark(Unknown(operators.RESULTS[operator], not_null=True), marks)
    if marks is not None:
        detail = f"{operator} takes two numbers. One operand is sensitive, so it is not shown."
        with hidden("Invalid operand", detail, expr):
            return Sensitive(_operation(expr, left, right), marks)
    return _operation(expr, left, right)


_OF_INTEGERS = {
    "+": operator_module.add, "-": operator_module.sub, "==": operator_module.eq, "!=": operator_module.ne,
    "<": operator_module.lt, "<=": operator_module.le, ">": operator_module.gt, ">=": operator_module.ge,
}  # fmt: skip
"""What nearly all operations are, without a look at what else operands may be."""


def _fits(expr: tree.Binary, left: Value, right: Value, marks: Marks) -> None:
    """Raise DiagnosticsError if the known operand, or the type of the unknown one, is not a number."""
    for side, value in enumerate((left, right)):
        try:
            if not isinstance(value, Unknown):
                operators.check_number(expr.operator, value, side)
            else:
                convert(value, NUMBER)
        except (OperatorError, ConversionError) as wrong:
            detail = "one operand is sensitive, and not a number" if marks is not None else wrong.message
            raise problem("Invalid operand", sentence(detail), expr.right if side else expr.left) from None


def _operation(expr: tree.Binary, left: Value, right: Value) -> Value:
    operator = expr.operator
    try:
        if operator in ("<", ">", "<=", ">="):
            return operators.ordered(operator, left, right)
        return operators.arithmetic(operator, left, right)
    except OperatorError as wrong:
        at = expr if wrong.side is None else expr.right if wrong.side else expr.left
        raise problem("Invalid operand", sentence(wrong.message), at) from None


def _compare(operator: str, left: Value, right: Value, marks: Marks) -> Value:
    if isinstance(left, dict | list | tuple | SetValue) or isinstance(right, dict | list | tuple | SetValue):
        for inner in (origins(left), origins(right)):
            if inner is not None:
                marks = inner if marks is None else marks | inner
    result = operators.equal(left, right)
    if result is None:
        return mark(Unknown(BOOL, not_null=True), marks)
    return mark(result == (operator == "=="), marks)


def _conditional(expr: tree.Conditional, scope: Scope) -> Value:
    condition = evaluate_inner(expr.condition, scope)
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
    value = evaluate_inner(chosen, scope)
    # The branch that is not taken may fail, and then has no say in the type.
    counterpart = _branch(other, scope)
    return mark(_unified(expr, value, counterpart), marks)


def _branch(expr: tree.Expr, scope: Scope) -> Value:
    """Return the value of a branch that may be discarded; unknown if it fails."""
    try:
        with discarding():
            return evaluate_inner(expr, scope)
    except DiagnosticsError:
        return Unknown()


_STATIC = frozenset({"Unknown name", "Unknown local", "Unknown variable", "Unknown function"})
"""Errors that no condition can avoid."""


def _possible(expr: tree.Expr, scope: Scope) -> Value:
    """Return the value of a branch that may be selected once the condition is known; unknown if it fails.

    A name that does not exist is always an error, since no condition can avoid it.
    """
    try:
        with discarding():
            return evaluate_inner(expr, scope)
    except DiagnosticsError as wrong:
        if all(each.summary not in _STATIC for each in wrong.diagnostics):
            return Unknown()
        if discarded():
            raise
    return evaluate_inner(expr, scope)


def _either(expr: tree.Conditional, scope: Scope) -> Value:
    """Return what is known of the result before the condition is known."""
    yes, no, marks = operators.operands(_possible(expr.yes, scope), _possible(expr.no, scope))
    _unified(expr, yes, no)
    if yes is None and no is None:
        return mark(None, marks)
    if isinstance(yes, int | Decimal) and not isinstance(yes, bool) and operators.equal(yes, no):
        return mark(yes, marks)
    if any(isinstance(value, Unknown) and value.type is None for value in (yes, no)):
        return mark(either(yes, no, ANY), marks)
    try:
        type_ = common((type_of(yes), type_of(no)))
    except ConversionError:
        type_ = ANY
    return mark(either(yes, no, type_), marks)


def _unified(expr: tree.Conditional, value: Value, other: Value) -> Value:
    """Return the chosen value as the type that both branches can have."""
    left, right = type_of(value), type_of(other)
    if left is ANY or right is ANY or left == right:
        return value
    try:
        shared = common((left, right))
        if isinstance(shared, Primitive) and left == shared:
            return value
        return convert_loosely(value, shared)
    except ConversionError as wrong:
        detail = (
            f"The results of a conditional must have a common type, but {wrong.message}: "
            f"the selected result is {kind(value)}, the other is {kind(other)}."
        )
        raise problem("Results of different types", detail, expr) from None


EVALUATORS.update(
    {
        tree.Parentheses: _parentheses,
        tree.Unary: _unary,
        tree.Binary: _binary,
        tree.Conditional: _conditional,
    }
)
