"""A replacement is planned as a new object: its provider plans it without the old one, and nothing is ignored."""

import pytest

from dstream.plan import Action, Reason
from tests.services.recorder.world import World, change

DECIDING = 'resource "rec_deciding" "d" {{\n  name = "d"\n{more}}}\n'
FOLLOWER = 'resource "rec_planned" "f" {\n  name = "f"\n  note = rec_deciding.d.uid\n}\n'
SOURCE = 'resource "rec_planned" "s" {{\n  name = "s"\n  size = {0}\n}}\n'
TRIGGERED = "  lifecycle {\n    replace_triggered_by = [rec_planned.s.size]\n  }\n"


@pytest.mark.parametrize(("how", "reason"), [("request", Reason.REQUESTED), ("trigger", Reason.TRIGGERED)])
def test_what_the_target_computes_is_unknown_where_the_host_replaces(world: World, how: str, reason: Reason) -> None:
    config = DECIDING.format(more=TRIGGERED if how == "trigger" else "") + FOLLOWER
    world.apply(SOURCE.format(1) + config)
    world.write(SOURCE.format(2) + config)
    made = world.plan(replace=("rec_deciding.d",) if how == "request" else ())
    planned = change(made, "rec_deciding.d")
    assert (planned.action, planned.reason) == (Action.REPLACE, reason)
    assert "uid" in planned.before and type(planned.after["uid"]).__name__ == "Unknown"
    assert type(change(made, "rec_planned.f").after["note"]).__name__ == "Unknown"


@pytest.mark.parametrize("kind", ["rec_planned", "rec_deciding"])
def test_a_replacement_takes_the_configured_value_of_an_ignored_attribute(world: World, kind: str) -> None:
    text = 'resource "{}" "a" {{\n  name = "a"\n  note = "{}"\n  lifecycle {{\n    ignore_changes = [note]\n  }}\n}}\n'
    world.apply(text.format(kind, "first"))
    world.write(text.format(kind, "second"))
    assert not world.plan().has_changes
    assert change(world.plan(replace=(f"{kind}.a",)), f"{kind}.a").after["note"] == "second"
    world.apply(replace=(f"{kind}.a",))
    assert world.recorder.objects()[f"{kind} a"]["note"] == "second"


@pytest.mark.parametrize("what", ["rec_planned.s", "rec_planned.s.size"])
def test_an_object_that_is_created_triggers_a_replacement(world: World, what: str) -> None:
    more = f"  lifecycle {{\n    replace_triggered_by = [{what}]\n  }}\n"
    world.apply(DECIDING.format(more=""))
    world.write(DECIDING.format(more=more) + SOURCE.format(1))
    planned = change(world.plan(), "rec_deciding.d")
    assert (planned.action, planned.reason) == (Action.REPLACE, Reason.TRIGGERED)
