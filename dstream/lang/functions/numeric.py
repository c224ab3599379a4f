"""Functions of numbers."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from dstream.lang.functions.registry import FunctionError, function
from dstream.lang.values import Value, number

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@function("number: number", name="abs")
def absolute(value: Value) -> Value:
    """Return the number without its sign."""
    return value.copy_abs() if isinstance(value, Decimal) else abs(value)


@function("number: number")
def ceil(value: Value) -> Value:
    """Return the next whole number that is not smaller."""
    return int(Decimal(value).to_integral_value(ROUND_CEILING))


@function("number: number")
def floor(value: Value) -> Value:
    """Return the next whole number that is not larger."""
    return int(Decimal(value).to_integral_value(ROUND_FLOOR))


@function("number: number, base: number")
def log(value: Value, base: Value) -> Value:
    """Return the logarithm of a number to a base."""
    if value <= 0:
        raise FunctionError("the number must be larger than 0", 0)
    if base <= 0 or base == 1:
        raise FunctionError("the base must be larger than 0, and not 1", 1)
    return number(math.log(value) / math.log(base))


@function("numbers...: number", name="max")
def maximum(*values: Value) -> Value:
    """Return the largest number."""
    if not values:
        raise FunctionError("at least one number is needed. For a list use max(list...)")
    return max(values)


@function("numbers...: number", name="min")
def minimum(*values: Value) -> Value:
    """Return the smallest number."""
    if not values:
        raise FunctionError("at least one number is needed. For a list use min(list...)")
    return min(values)


@function("text: any, base: number")
def parseint(text: Value, base: Value) -> Value:
    """Return the whole number that a string of digits in a base stands for."""
    if not isinstance(text, str):
        raise FunctionError("the first argument must be a string", 0)
    if not isinstance(base, int) or not 2 <= base <= 62:
        raise FunctionError("the base must be a whole number between 2 and 62", 1)
    digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if base <= 36:
        digits = digits.lower()
    result = 0
    for digit in digits:
        value = _DIGITS.find(digit)
        if not 0 <= value < base:
            raise FunctionError(f'"{text}" is not a whole number in base {base}', 0)
        result = result * base + value
    if not digits:
        raise FunctionError(f'"{text}" is not a whole number in base {base}', 0)
    return -result if text.startswith("-") else result


@function("number: number, power: number", name="pow")
def power(base: Value, exponent: Value) -> Value:
    """Return a number raised to a power."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if base.bit_length() * exponent > 40_000:
            raise FunctionError("the result is too large")
        return base**exponent
    try:
        result = float(base) ** float(exponent)
    except ZeroDivisionError:
        raise FunctionError("0 has no negative powers", 1) from None
    except OverflowError:
        raise FunctionError("the result is too large") from None
    if isinstance(result, complex) or not math.isfinite(result):
        raise FunctionError("the result is not a number")
    return number(result)


@function("number: number")
def signum(value: Value) -> Value:
    """Return -1, 0 or 1: the sign of a number."""
    return (value > 0) - (value < 0)
