"""A boolean is no number, although Python's True equals 1: a change between them is a change."""

from decimal import Decimal
from typing import Any

import pytest

from dstream.plan import Difference, changed_names, differences

PAIRS = [
    (True, 1),
    (False, 0),
    (True, Decimal(1)),
    ([1, True], [1, 1]),
    ({"a": {"b": [False]}}, {"a": {"b": [0]}}),
]


@pytest.mark.parametrize(("before", "after"), [*PAIRS, *((after, before) for before, after in PAIRS)])
def test_a_boolean_and_a_number_differ(before: Any, after: Any) -> None:
    assert before == after
    assert changed_names({"v": before}, {"v": after}) == ["v"]
    (row,) = differences({"v": before}, {"v": after})
    assert type(row.before) is not type(row.after)


@pytest.mark.parametrize("value", [True, False, 1, Decimal("1.0"), [True, 0], {"a": False}])
def test_what_stays_is_no_difference(value: Any) -> None:
    assert changed_names({"v": value}, {"v": value}) == []
    assert list(differences({"v": value}, {"v": value})) == []


def test_numbers_are_the_same_however_they_are_written() -> None:
    assert changed_names({"v": [True, 1]}, {"v": [True, Decimal("1.0")]}) == []


def test_a_difference_shows_booleans_as_they_are() -> None:
    assert list(differences({"v": True}, {"v": False})) == [Difference(("v",), True, False)]
