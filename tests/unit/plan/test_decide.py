"""What takes an object from what it is to what is wanted."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from dstream.lang import Unknown
from dstream.plan import Action, Change, DecideOptions, OutputChange, Plan, Reason, changed_names, decide


@dataclass(frozen=True)
class Rules:
    computed: frozenset[str] = frozenset({"id"})
    replace: frozenset[str] = frozenset({"name"})
    defaults: dict[str, Any] = field(default_factory=lambda: {"size": 1})
    unknown: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset({"tags"})


REAL = {"id": 7, "name": "a", "size": 1, "tags": ["x", "y"], "note": "n"}
SAME = {"name": "a", "tags": ["y", "x"], "note": "n"}


def test_what_does_not_exist_is_created_with_defaults_and_computed_attributes_unknown() -> None:
    made = decide(None, {"name": "a"}, Rules(), DecideOptions())
    assert made.action is Action.CREATE
    assert made.after == {"name": "a", "size": 1, "id": Unknown()}


def test_what_is_as_wanted_is_left_alone_whatever_the_order_of_a_set() -> None:
    assert decide(REAL, SAME, Rules(), DecideOptions()).action is Action.NO_OP


def test_a_difference_is_an_update_that_keeps_what_the_provider_computed() -> None:
    made = decide(REAL, SAME | {"note": "m"}, Rules(), DecideOptions())
    assert (made.action, made.after["id"], made.after["note"]) == (Action.UPDATE, 7, "m")


def test_an_argument_that_was_taken_out_is_a_difference() -> None:
    made = decide(REAL, {"name": "a", "tags": ["x", "y"]}, Rules(), DecideOptions())
    assert made.action is Action.UPDATE
    assert "note" not in made.after


def test_a_difference_of_an_attribute_that_cannot_change_replaces_and_names_it() -> None:
    made = decide(REAL, SAME | {"name": "b"}, Rules(), DecideOptions())
    assert (made.action, made.replace_paths) == (Action.REPLACE, ("name",))
    assert isinstance(made.after["id"], Unknown)
    first = decide(REAL, SAME | {"name": "b"}, Rules(), DecideOptions(create_before_destroy=True))
    assert first.action is Action.CREATE_THEN_DELETE


def test_an_unknown_value_counts_as_a_difference() -> None:
    assert decide(REAL, SAME | {"note": Unknown()}, Rules(), DecideOptions()).action is Action.UPDATE
    assert decide(REAL, SAME | {"name": Unknown()}, Rules(), DecideOptions()).action is Action.REPLACE


@pytest.mark.parametrize("ignored", [["note"], ["*"]])
def test_an_ignored_difference_is_none(ignored: list[str]) -> None:
    assert decide(REAL, SAME | {"note": "m"}, Rules(), DecideOptions(ignore_changes=ignored)).action is Action.NO_OP


def test_a_replacement_can_be_asked_for_without_a_difference() -> None:
    made = decide(REAL, SAME, Rules(), DecideOptions(replace=Reason.TAINTED))
    assert (made.action, made.reason) == (Action.REPLACE, Reason.TAINTED)


def test_null_and_absent_are_the_same_and_numbers_are_compared_by_value() -> None:
    assert changed_names({"a": None, "b": 1}, {"b": 1.0}) == []
    assert changed_names({"a": [1, 2]}, {"a": [2, 1]}) == ["a"]


def plan_of(*changes: Change, **more: Any) -> Plan:
    return Plan(changes=changes, **more)


def test_a_replacement_counts_as_one_added_and_one_destroyed() -> None:
    counts = plan_of(
        Change("a.b", Action.REPLACE, "p", "a"),
        Change("a.c", Action.UPDATE, "p", "a"),
        Change("a.d", Action.NO_OP, "p", "a"),
    ).counts
    assert (counts["add"], counts["change"], counts["destroy"]) == (1, 1, 1)


def test_the_json_form_holds_neither_unknown_nor_sensitive_values_but_says_where_they_are() -> None:
    after = {"name": "a", "id": Unknown(), "password": {"$hmac": "f00"}, "deep": [{"key": {"$hmac": "f01"}}]}
    output = OutputChange("o", Action.CREATE, None, {"$hmac": "f02"}, sensitive=True)
    form = plan_of(Change("a.b", Action.CREATE, "p", "a", after=after), outputs=(output,)).to_json()
    change = form["resource_changes"][0]["change"]
    assert change["actions"] == ["create"]
    assert change["after"] == {"name": "a", "deep": [{}]}
    assert change["after_unknown"] == {"id": True}
    assert change["after_sensitive"] == {"password": True, "deep": [{"key": True}]}
    assert "f0" not in str(form)


def test_a_move_alone_is_something_to_do() -> None:
    assert not plan_of(Change("a.b", Action.NO_OP, "p", "a")).has_changes
    assert plan_of(Change("a.b", Action.NO_OP, "p", "a", moved_from="a.c")).has_changes
