"""Previews that prove wrong: an object that is created or replaced with other values than its provider planned."""

from collections.abc import Mapping
from typing import Any

import pytest

from dstream.plan import Action
from dstream.plugins import Answer, session
from dstream.plugins.redact import Redactor
from dstream.plugins.request import parse_answer
from tests.services.recorder.world import World, change, said

CHAIN = """
resource "rec_deciding" "d" {
  name = "d"
}
resource "rec_planned" "e" {
  name = "e"
  note = rec_deciding.d.note
}
resource "rec_planned" "f" {
  name = "f"
  note = rec_deciding.d.name
}
output "o" {
  value = rec_deciding.d.note
}
"""


def decide_otherwise(monkeypatch: pytest.MonkeyPatch, note: Any) -> None:
    """Have every answer that brings the object `d` and its identity bring another note than was planned."""

    def parse(form: Mapping[str, Any], redactor: Redactor, provider: str) -> Answer:
        attributes = form.get("attributes")
        if isinstance(attributes, dict) and attributes.get("name") == "d" and "identity" in form:
            form = {**form, "attributes": {**attributes, "note": note}}
        return parse_answer(form, redactor, provider)

    monkeypatch.setattr(session, "parse_answer", parse)


@pytest.mark.parametrize("action", [Action.CREATE, Action.REPLACE])
def test_what_a_provider_planned_wrongly_is_told_with_what_was_applied_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch, action: Action
) -> None:
    world.write(CHAIN)
    replace = ("rec_deciding.d",) if action is Action.REPLACE else ()
    if replace:
        world.apply()
    assert change(world.plan(replace=replace), "rec_deciding.d").action is action
    decide_otherwise(monkeypatch, "decided elsewhere")
    outcome = world.attempt(replace=replace)
    assert not outcome.failed
    told = {(each.summary, each.address) for each in outcome.diagnostics}
    differs, changed = "Object differs from its plan", "Inconsistent value during apply"
    assert told == {(differs, "rec_deciding.d"), (changed, "rec_planned.e")}, said(outcome.diagnostics)
    assert 'note was planned as "decided in ' in said(outcome.diagnostics)
    assert 'and is "decided elsewhere"' in said(outcome.diagnostics)
    assert world.snapshot.outputs["o"].value == "decided elsewhere", "outputs have the real value"
    assert world.recorded["rec_planned.e"].attributes["note"] != "decided elsewhere", "it was applied as planned"
