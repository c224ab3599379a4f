"""Arguments of collection functions: the elements of a list or set, the names of a map."""

from __future__ import annotations

from dstream.lang.convert import unify
from dstream.lang.functions.registry import FunctionError
from dstream.lang.types import (
    ConversionError,
)
from dstream.lang.values import (
    SetValue,
    Value,
    kind,
)


def items_of(value: Value, argument: int, what: str = "a list") -> list[Value]:
    """Return the elements of a list or set; raise FunctionError, which says that `what` is required."""
    if isinstance(value, list | tuple | SetValue):
        return list(value)
    raise FunctionError(f"{what} is required, not {kind(value)}", argument)


def sequence(value: Value, argument: int) -> list[Value]:
    """Return the elements of a list; raise FunctionError for a set, which has no order."""
    if isinstance(value, SetValue):
        raise FunctionError("a set has no order; convert it with tolist(...)", argument)
    return items_of(value, argument)


def unified(value: Value, argument: int) -> list[Value]:
    """Return the elements of a list or set in their common type; raise FunctionError if there is none."""
    try:
        return unify(items_of(value, argument))
    except ConversionError as wrong:
        raise FunctionError(f"its elements must have one type: {wrong.message}", argument) from None


def integer(value: Value, argument: int, name: str) -> int:
    """Return a whole number; raise FunctionError, which calls it `name`."""
    if not isinstance(value, int):
        raise FunctionError(f"{name} must be a whole number", argument)
    return value


def names_of(value: Value, argument: int) -> dict[str, Value]:
    """Return a map or object; raise FunctionError for anything else."""
    if not isinstance(value, dict):
        raise FunctionError(f"a map or object is required, not {kind(value)}", argument)
    return value


def joined(left: frozenset[str] | None, right: frozenset[str] | None) -> frozenset[str] | None:
    """Return the combined origins of two values; None if neither is sensitive."""
    return right if left is None else left if right is None else left | right
