"""Operators: arithmetic, comparison and logic on known, unmarked values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dstream.lang import refinements
from dstream.lang.binary_numbers import nearest
from dstream.lang.convert import to_bool, to_number
from dstream.lang.types import BOOL, NUMBER, ConversionError, Type
from dstream.lang.values import (
    PRECISION,
    QUOTIENTS,
    ListValue,
    MapValue,
    Sensitive,
    SetValue,
    Unknown,
    Value,
    kind,
    number,
    unwrap,
)

MAX_INTEGER_BITS = 40_000

RESULTS: dict[str, Type] = {
    **dict.fromkeys(("+", "-", "*", "/", "%"), NUMBER),
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "&&", "||"), BOOL),
}
"""The result type of each operator."""


class OperatorError(Exception):
    """An operator cannot take its operands; `side` is 0 for the left one, 1 for the right one, None for both."""

    def __init__(self, message: str, side: int | None = None) -> None:
        """Take a sentence without its full stop."""
        self.message = message
        self.side = side
        super().__init__(message)


def arithmetic(operator: str, left: Value, right: Value) -> int | Decimal:
    """Return left operator right for + - * / %."""
    a, b = _number(operator, left, 0), _number(operator, right, 1)
    match operator:
        case "+":
            return a + b if _integers(a, b) else number(PRECISION.add(_decimal(a), _decimal(b)))
        case "-":
            return a - b if _integers(a, b) else number(PRECISION.subtract(_decimal(a), _decimal(b)))
        case "*":
            if isinstance(a, int) and isinstance(b, int):
                if a.bit_length() + b.bit_length() > MAX_INTEGER_BITS:
                    raise OperatorError("the product is too large")
                return a * b
            return number(PRECISION.multiply(_decimal(a), _decimal(b)))
        case "/":
            return _divide(a, b)
        case _:
            return _remainder(a, b)


def _integers(a: Any, b: Any) -> bool:
    return isinstance(a, int) and isinstance(b, int)


def _decimal(value: int | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def _divide(a: int | Decimal, b: int | Decimal) -> int | Decimal:
    if b == 0:
        raise OperatorError("division by zero", 1)
    if isinstance(a, int) and isinstance(b, int) and a % b == 0:
        return a // b
    return number(QUOTIENTS.divide(_decimal(a), _decimal(b)))


def _remainder(a: int | Decimal, b: int | Decimal) -> int | Decimal:
    if b == 0:
        raise OperatorError("division by zero", 1)
    if isinstance(a, int) and isinstance(b, int):
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    x, y = _decimal(a), _decimal(b)
    quotient = int(PRECISION.divide(x, y))
    return number(PRECISION.subtract(x, PRECISION.multiply(Decimal(quotient), y)))


def _number(operator: str, value: Value, side: int) -> int | Decimal:
    if value is None:
        raise OperatorError(f"the {_SIDES[side]} side of {operator} is null, and a number is required", side)
    try:
        return to_number(value)
    except ConversionError as problem:
        hint = ""
        if operator == "+" and isinstance(value, str):
            hint = '. To join strings, use a template: "${a}${b}"'
        elif operator == "+" and isinstance(value, list):
            hint = ". To join lists, use concat(a, b)"
        elif operator == "+" and isinstance(value, dict):
            hint = ". To join objects, use merge(a, b)"
        raise OperatorError(f"on the {_SIDES[side]} side of {operator}, {problem.message}{hint}", side) from None


check_number = _number
_SIDES = ("left", "right")


def ordered(operator: str, left: Value, right: Value) -> bool:
    """Return left operator right for < > <= >=."""
    a, b = _number(operator, left, 0), _number(operator, right, 1)
    match operator:
        case "<":
            return a < b
        case ">":
            return a > b
        case "<=":
            return a <= b
        case _:
            return a >= b


def truth(what: str, value: Value, side: int | None = None) -> bool:
    """Return a value as a boolean condition; `what` names it in the error."""
    if value is None:
        raise OperatorError(f"{what} is null, and true or false is required", side)
    try:
        return to_bool(value)
    except ConversionError as problem:
        raise OperatorError(f"{what} is {kind(value)}; {problem.message}", side) from None


def equal(left: Value, right: Value) -> bool | None:
    """Return whether two values are equal, None if unknown. Types are never converted."""
    left, right = unwrap(left), unwrap(right)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return refinements.equal(left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys() or isinstance(left, MapValue) != isinstance(right, MapValue):
            return False
        return _all_equal([(value, right[name]) for name, value in left.items()])
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right) or isinstance(left, ListValue) != isinstance(right, ListValue):
            return False
        return _all_equal(list(zip(left, right, strict=True)))
    if isinstance(left, SetValue) and isinstance(right, SetValue):
        if any(equal(item, item) is None for item in (*left, *right)):
            return None
        return left == right
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left == right or PRECISION.plus(left) == PRECISION.plus(right) or nearest(left) == nearest(right)
    return bool(left == right)


def _all_equal(pairs: list[tuple[Value, Value]]) -> bool | None:
    result: bool | None = True
    for left, right in pairs:
        found = equal(left, right)
        if found is False:
            return False
        if found is None:
            result = None
    return result


def operands(left: Value, right: Value) -> tuple[Value, Value, frozenset[str] | None]:
    """Return both values without the mark around them, and the origins of both; None if neither is sensitive."""
    marks: frozenset[str] | None = None
    if isinstance(left, Sensitive):
        marks, left = left.origins, left.value
    if isinstance(right, Sensitive):
        marks, right = right.origins if marks is None else marks | right.origins, right.value
    return left, right, marks
