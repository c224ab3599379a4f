"""Answers are held to plan and schema, as in Terraform: the provider is named, and nothing is lost."""

from decimal import Decimal
from typing import Any

import pytest

from dstream.engine.evaluate.answer_types import answer_types
from dstream.engine.evaluate.answer_values import described, inconsistencies
from dstream.lang import Unknown
from dstream.plan import Action
from tests.services.recorder.world import World, actions, change, refused, said

RESULT = "Provider produced inconsistent result after apply"
FINAL = "Provider produced inconsistent final plan"
INVALID = "Provider produced invalid object"


def block(more: str = "", kind: str = "rec_planned", name: str = "a") -> str:
    return f'resource "{kind}" "{name}" {{\n  name = "{name}"\n{more}}}\n'


NEXT = 'resource "rec_planned" "next" {\n  name = "after-${rec_planned.a.zone}"\n}\n'


def test_a_created_object_that_is_another_one_than_planned_is_recorded_tainted_and_fails_the_run(world: World) -> None:
    world.write(block() + NEXT)
    world.recorder.on("create", "a", answers={"zone": "other"}, times=1)
    outcome = world.attempt()
    [found] = outcome.diagnostics
    assert outcome.failed and (found.summary, found.address) == (RESULT, "rec_planned.a")
    assert 'provider.rec produced an unexpected new value: zone: was "here", but now "other".' in found.detail
    item = world.recorded["rec_planned.a"]
    assert (item.status, item.attributes["zone"], item.identity) == ("tainted", "other", {"name": "a"})
    assert "rec_planned.next" not in world.recorded, "what needs it is not made"
    assert actions(world.plan())["rec_planned.a"] is Action.REPLACE
    world.apply()
    assert world.recorder.names() == ["a", "after-here"]


def test_an_update_that_makes_something_else_is_recorded_and_keeps_the_object(world: World) -> None:
    world.apply(block())
    world.write(block("  size = 2\n"))
    world.recorder.on("update", "a", answers={"size": 3}, times=1)
    outcome = world.attempt()
    assert outcome.failed and "size: was 2, but now 3." in said(outcome.diagnostics)
    item = world.recorded["rec_planned.a"]
    assert (item.status, item.attributes["size"]) == ("ok", 3)
    assert not world.plan().has_changes, "the refresh corrects what the answer said"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"size": "many"}, "size: an integer required, and the answer has a string"),
        ({"tags": {"a": "b"}}, "tags: a list required, and the answer has an object"),
        ({"tags": ["a", 1]}, "tags[1]: a string required, and the answer has an integer"),
        ({"colour": "red"}, "colour: the schema has no such attribute"),
    ],
)
def test_an_answer_of_another_type_is_the_fault_of_the_provider(world: World, answers: Any, says: str) -> None:
    world.write(block())
    world.recorder.on("create", "a", answers=answers, times=1)
    [found] = world.attempt().diagnostics
    assert found.summary == INVALID and says in found.detail and "provider.rec answered" in found.detail
    assert world.recorded["rec_planned.a"].status == "tainted" and world.in_step()
    world.apply()
    world.recorder.on("read", "a", answers=answers)
    [found] = refused(world.plan)
    assert found.summary == INVALID and says in found.detail and "-refresh=false" in found.detail
    assert not world.plan(refresh=False).has_changes
    [drift] = world.drift().drifts
    assert says in drift.detail


def test_an_import_of_another_type_is_refused(world: World) -> None:
    world.recorder.put("rec_planned", "a", size="many")
    world.write(block() + 'import {\n  to = rec_planned.a\n  id = "a"\n}\n')
    assert "size: an integer required" in said(refused(world.plan))


def test_a_secret_that_became_another_one_is_never_shown(world: World) -> None:
    world.write('resource "rec_hint" "a" {\n  name = "a"\n  hint = sensitive("planned-5ecret")\n}\n')
    world.recorder.on("create", "a", answers={"hint": "answered-5ecret"}, times=1)
    [found] = world.attempt().diagnostics
    assert found.summary == RESULT and "hint: inconsistent values for sensitive attribute" in found.detail
    assert "5ecret" not in found.detail
    assert b"5ecret" not in world.everything_written()


def test_a_plan_that_is_invalid_is_refused(world: World) -> None:
    world.write(block(kind="rec_promising"))
    world.recorder.on("plan", "a", answers={"size": "many"})
    [found] = refused(world.plan)
    assert found.summary == INVALID and "asked" not in found.detail and "to plan rec_promising.a" in found.detail


LATE = block() + 'resource "rec_promising" "p" {\n  name = "p"\n  note = rec_planned.a.uid\n}\n'


def test_a_final_plan_that_differs_from_the_approved_one_changes_nothing(world: World) -> None:
    world.write(LATE)
    world.told.on_started = lambda address: world.recorder.on("plan", "p", answers={"zone": "elsewhere"}, times=1)
    outcome = world.attempt()
    [found] = outcome.diagnostics
    assert (found.summary, found.address) == (FINAL, "rec_promising.p")
    assert 'zone: was "here", but now "elsewhere"' in found.detail and "provider.rec" in found.detail
    assert world.recorder.names() == ["a"] and world.in_step()
    world.told.on_started = lambda address: None
    world.recorder.behave()
    world.apply()
    assert world.recorder.names() == ["a", "p"]


def test_a_final_plan_that_replaces_where_an_update_was_planned_changes_nothing(world: World) -> None:
    world.apply(LATE)
    world.write(LATE.replace('"a"\n}', '"a"\n  zone = "there"\n}'))
    assert actions(world.plan()) == {"rec_planned.a": Action.REPLACE, "rec_promising.p": Action.UPDATE}
    world.told.on_started = lambda address: world.recorder.on("plan", "p", replace=["note"], times=1)
    [found] = world.attempt().diagnostics
    assert found.summary == FINAL and "a replacement, forced by note, where it planned an update" in found.detail
    assert world.in_step()


def test_a_type_that_plans_has_its_defaults_in_plan_and_apply(world: World) -> None:
    world.apply(block(kind="rec_promising"))
    assert world.recorded["rec_promising.a"].attributes["zone"] == "here"
    assert not world.plan().has_changes
    world.write(block('  note = "n"\n', kind="rec_promising"))
    planned = change(world.plan(), "rec_promising.a")
    assert (planned.action, planned.after["zone"]) == (Action.UPDATE, "here")
    world.apply()
    assert not world.plan().has_changes


SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "flag": {},
        "set": {"type": "array", "uniqueItems": True, "items": {"type": "object"}},
        "list": {"type": "array"},
        "rules": {"type": "array", "items": {"properties": {"port": {"default": 80}, "host": {}}}},
        "labels": {"anyOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"type": "null"}]},
        "uid": {"type": "string"},
    },
    "additionalProperties": False,
}
EQUAL = [
    ({"number": 1}, {"number": Decimal("1.0")}),
    ({"text": None}, {}),
    ({}, {"text": None}),
    ({"text": "a"}, {}),
    ({"text": Unknown()}, {"text": "a"}),
    ({"list": [1, Unknown()]}, {"list": [1, "x"]}),
    ({"set": [{"a": 1}, {"b": 2}]}, {"set": [{"b": 2}, {"a": Decimal("1.0")}]}),
    ({"set": [Unknown()]}, {"set": [{"b": 2}]}),
    ({"labels": {"a": None}}, {"labels": {}}),
    ({"rules": [{"host": "h"}]}, {"rules": [{"host": "h", "port": 80}]}),
    ({"text": "a"}, {"text": {"$withheld": True}}),
    ({}, {"uid": "u"}),
    ({"uid": {"n": 1}}, {"uid": {"n": 1, "added": True}}),
]
DIFFERENT = [
    ({"number": 1}, {"number": Decimal("1.5")}, "number: was 1, but now 1.5"),
    ({"number": 1}, {"number": True}, "number: was 1, but now true"),
    ({"flag": True}, {"flag": 1}, "flag: was true, but now 1"),
    ({"text": "1"}, {"text": 1}, 'text: was "1", but now 1'),
    ({"text": ""}, {"text": None}, 'text: was "", but now null'),
    ({}, {"text": ""}, 'text: was null, but now ""'),
    ({"list": [1, 2]}, {"list": [2, 1]}, "list[0]: was 1, but now 2; list[1]: was 2, but now 1"),
    ({"list": []}, {"list": None}, "list: was [], but now null"),
    ({"labels": {"a": "x"}}, {"labels": {"a": "y"}}, 'labels.a: was "x", but now "y"'),
    ({"labels": {}}, {"labels": {"b": "y"}}, 'labels.b: was null, but now "y"'),
    ({"rules": [{"host": "h"}]}, {"rules": [{"host": "h", "port": 81}]}, "rules[0].port: was null, but now 81"),
]


@pytest.mark.parametrize(("planned", "answered"), EQUAL)
def test_values_that_are_equal_as_in_terraform(planned: Any, answered: Any) -> None:
    assert not list(inconsistencies(planned, answered, SCHEMA, {"uid"}))


@pytest.mark.parametrize(("planned", "answered", "says"), DIFFERENT)
def test_values_that_differ_as_in_terraform(planned: Any, answered: Any, says: str) -> None:
    assert described(list(inconsistencies(planned, answered, SCHEMA, {"uid"})), ()) == says


def test_sets_differ_by_what_is_in_them() -> None:
    assert list(inconsistencies({"set": [{"a": 1}]}, {"set": [{"a": 1}, {"a": 1}]}, SCHEMA))
    assert list(inconsistencies({"set": [{"a": 1}, {"b": 1}]}, {"set": [{"a": 1}, {"a": 1}]}, SCHEMA))


def test_limits_of_a_configuration_are_not_asked_of_answers() -> None:
    types = answer_types({"properties": {"size": {"type": "integer", "maximum": 5}, "kind": {"enum": ["a"]}}})
    assert types.errors({"size": 7, "kind": "b", "more": 1}) == []
    assert [path for path, _ in types.errors({"size": Decimal("7.5")})] == [("size",)]


def test_a_secret_that_the_target_echoed_stays_one_in_the_plan_of_its_provider(world: World) -> None:
    secret = '  note = sensitive("long-5ecret-value")\n'
    world.write(block(secret, kind="rec_promising"))
    for command in ("create", "read", "update"):
        world.recorder.on(command, "a", answers={"uid": "got long-5ecret-value"})
    world.apply()
    assert not world.plan().has_changes
    world.write(block(secret + "  size = 2\n", kind="rec_promising"))
    planned = world.plan()
    assert actions(planned) == {"rec_promising.a": Action.UPDATE}
    assert "5ecret" not in str(planned.to_json())
