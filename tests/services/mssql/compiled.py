"""The pieces of which a compiled expression is made: functions of rows, in which NULL is None."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.services.mssql.model import Row


def pick(at: int, index: int) -> Callable[[Sequence[Row]], Any]:
    return lambda row: row[at][index]


def constant(value: Any) -> Callable[[Sequence[Row]], Any]:
    return lambda _: value


def strict(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Callable[[Sequence[Row]], Any]:
    """A function of two values that is NULL if one of them is."""

    def apply(row: Sequence[Row]) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else function(a, b)

    return apply


def and_(left: Any, right: Any) -> Any:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def or_(left: Any, right: Any) -> Any:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def sortable(value: Any) -> Any:
    return (value is not None, value if not isinstance(value, str) else value.lower())
