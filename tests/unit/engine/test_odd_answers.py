"""Answers that break the protocol: they decide nothing, and the provider is asked what became of the change."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dstream.plugins import Answer, session
from dstream.plugins.redact import Redactor
from dstream.plugins.request import parse_answer
from tests.services.recorder.world import World, said

Form = dict[str, Any]
ODD: dict[str, Callable[[Form], Form]] = {
    "an unknown status": lambda form: form | {"status": "created"},
    "no status": lambda form: {name: value for name, value in form.items() if name != "status"},
    "a status that is no text": lambda form: form | {"status": True},
    "ok without an identity": lambda form: form | {"identity": None},
    "gone": lambda form: {"id": form["id"], "status": "gone"},
    "attributes that are a list": lambda form: form | {"attributes": [1]},
    "diagnostics that are a text": lambda form: form | {"diagnostics": "all is well"},
}
KINDS = {"rec_marked": "ok", "rec_planned": "ok", "rec_blind": "unresolved"}
"""Types whose objects are found by the intent, by their planned identity, and not at all."""


def block(kind: str, size: int = 1) -> str:
    return f'resource "{kind}" "a" {{\n  name = "a"\n  size = {size}\n}}\n'


def answer_oddly(monkeypatch: pytest.MonkeyPatch, odd: Callable[[Form], Form], size: int) -> None:
    """Have the first answer that brings an object of this size arrive in another form."""
    left = [odd]

    def parse(form: Mapping[str, Any], redactor: Redactor, provider: str) -> Answer:
        attributes = form.get("attributes")
        if left and isinstance(attributes, dict) and attributes.get("size") == size and "identity" in form:
            form = left.pop()(dict(form))
        return parse_answer(form, redactor, provider)

    monkeypatch.setattr(session, "parse_answer", parse)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_to_a_create_that_cannot_be_understood_is_asked_about(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, odd: str
) -> None:
    world.write(block(kind))
    answer_oddly(monkeypatch, ODD[odd], 1)
    outcome = world.attempt()
    assert "Provider protocol violation" in said(outcome.diagnostics), said(outcome.diagnostics)
    assert world.recorder.names() == ["a"]
    assert world.snapshot.intents == {}
    assert world.recorded[f"{kind}.a"].status == KINDS[kind]
    if KINDS[kind] == "ok":
        assert world.in_step()
        world.apply()
        assert world.recorder.names() == ["a"]
        assert not world.plan().has_changes


@pytest.mark.parametrize("odd", ["an unknown status", "no status", "attributes that are a list"])
def test_an_answer_to_an_update_that_cannot_be_understood_is_asked_about(
    world: World, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    world.apply(block("rec_marked"))
    world.write(block("rec_marked", 2))
    answer_oddly(monkeypatch, ODD[odd], 2)
    outcome = world.attempt()
    assert "Provider protocol violation" in said(outcome.diagnostics)
    assert world.recorded["rec_marked.a"].attributes["size"] == 2
    assert not world.plan().has_changes


def test_a_clear_refusal_leaves_nothing_open(world: World) -> None:
    world.write(block("rec_blind"))
    world.recorder.on("create", "a", fail="fatal", times=1)
    world.attempt()
    assert world.recorded == {}
    assert world.snapshot.intents == {}
    world.apply()
    assert world.recorder.names() == ["a"]


def test_a_find_that_cannot_be_understood_leaves_the_change_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(block("rec_marked"))
    oddly = iter([ODD["an unknown status"]] * 2)

    def parse(form: Mapping[str, Any], redactor: Redactor, provider: str) -> Answer:
        odd = next(oddly, None)
        return parse_answer(odd(dict(form)) if odd is not None else form, redactor, provider)

    monkeypatch.setattr(session, "parse_answer", parse)
    outcome = world.attempt()
    assert "Unknown outcome of a change" in said(outcome.diagnostics)
    assert len(world.snapshot.intents) == 1
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.in_step()


@pytest.mark.parametrize(("kind", "size"), [("rec_marked", "many"), ("rec_marked", True), ("rec_planned", [1])])
@pytest.mark.parametrize("action", ["create", "update"])
def test_an_object_found_with_values_of_other_types_leaves_its_change_open(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, size: object, action: str
) -> None:
    text = f'resource "{kind}" "a" {{\n  name = "a"\n  size = SIZE\n}}\n'
    if action == "update":
        world.write(text.replace("SIZE", "1"))
        world.apply()
    world.write(text.replace("SIZE", "2"))
    name = "a" if action == "create" else str(next(iter(world.recorded[f"{kind}.a"].identity.values())))
    world.recorder.on(action, name, crash="after", times=1)
    with monkeypatch.context() as patch:

        def parse(form: Form, redactor: object, provider: str) -> Answer:
            attributes = form.get("attributes")
            if isinstance(attributes, dict) and attributes.get("size") == 2:
                form = form | {"attributes": attributes | {"size": size}}
            return parse_answer(form, redactor, provider)

        patch.setattr(session, "parse_answer", parse)
        found = world.attempt().diagnostics
        wrong = [each for each in found if each.summary == "Provider produced invalid object"]
        assert [each.address for each in wrong] == [f"{kind}.a"], said(found)
        assert "size" in wrong[0].detail
        assert [intent.address for intent in world.snapshot.intents.values()] == [f"{kind}.a"]
    world.apply()
    assert world.recorded[f"{kind}.a"].attributes["size"] == 2
    assert world.snapshot.intents == {}
    assert world.recorder.names() == ["a"]
    assert world.in_step()
