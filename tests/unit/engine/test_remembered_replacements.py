"""Replacements that an apply began are remembered until they are done, whatever the next plan would find."""

import pytest

from dstream.engine.commands.state_edit import untaint
from dstream.plan import Action, Reason
from dstream_state import ObjectState, Snapshot
from tests.services.recorder.world import Told, World, actions, change, said

PARENT = 'resource "rec_planned" "a" {{\n  name = "a"\n  size = {0}\n}}\n'
CHILD = """
resource "{kind}" "f" {{
  name = "f"
  lifecycle {{
    replace_triggered_by = [rec_planned.a.size]{more}
  }}
}}
"""


def both(size: int, kind: str = "rec_planned", more: str = "") -> str:
    return PARENT.format(size) + CHILD.format(kind=kind, more=more)


@pytest.mark.parametrize("kind", ["rec_planned", "rec_promising"])
def test_a_triggered_replacement_is_done_by_a_later_apply(world: World, kind: str) -> None:
    world.apply(both(1, kind))
    world.write(both(2, kind))
    world.recorder.on("delete", "f", fail="denied", times=1)
    assert "Told to fail" in said(world.attempt().diagnostics)
    world.recorder.forget_calls()
    planned = change(world.plan(), f"{kind}.f")
    assert (planned.action, planned.reason) == (Action.REPLACE, Reason.TRIGGERED)
    assert "untaint" in planned.detail
    world.apply()
    assert world.recorder.changes()[-2:] == ["deleted f", "created f"]
    assert not world.plan().has_changes
    assert world.recorded[f"{kind}.f"].replacing == ""


def test_a_requested_replacement_is_done_by_a_later_apply(world: World) -> None:
    world.apply(both(1))
    world.recorder.on("delete", "f", fail="denied", times=1)
    world.attempt(replace=("rec_planned.f",))
    planned = change(world.plan(), "rec_planned.f")
    assert (planned.action, planned.reason) == (Action.REPLACE, Reason.REQUESTED)
    world.apply()
    assert not world.plan().has_changes


@pytest.mark.parametrize(("command", "name"), [("create", "f"), ("update", "a")])
def test_the_old_object_keeps_the_intent_where_the_new_one_is_made_first(world: World, command: str, name: str) -> None:
    kind = "rec_marked"
    world.apply(both(1, kind, "\n    create_before_destroy = true"))
    world.write(both(2, kind, "\n    create_before_destroy = true"))
    world.recorder.on(command, name, fail="denied", times=1)
    world.attempt()
    assert world.in_step()
    assert actions(world.plan())["rec_marked.f"] is Action.CREATE_THEN_DELETE
    world.apply()
    assert world.recorder.names() == ["a", "f"] and not world.plan().has_changes


def test_a_plan_alone_remembers_nothing(world: World) -> None:
    world.apply(both(1))
    world.write(both(2))
    assert actions(world.plan())["rec_planned.f"] is Action.REPLACE
    world.write(both(1))
    assert not world.plan().has_changes


def test_untaint_cancels_a_remembered_replacement(world: World) -> None:
    world.apply(both(1))
    world.recorder.on("delete", "f", fail="denied", times=1)
    world.attempt(replace=("rec_planned.f",))
    untaint(world.operation(), ["rec_planned.f"], 5, Told())
    assert not world.plan().has_changes


def test_a_state_of_an_earlier_version_is_read_and_an_unfinished_replacement_is_stored() -> None:
    earlier = {"provider": "p", "type": "t", "key": "k", "identity": {"id": 1}, "attributes": {}}
    item = ObjectState.from_json(earlier)
    assert item.replacing == "" and item.to_json() == earlier, "and is written as the earlier version wrote it"
    begun = ObjectState("p", "t", "k", replacing="requested")
    assert ObjectState.from_json(begun.to_json()) == begun
    assert Snapshot.new().to_json()["format_version"] == 1, "earlier versions ignore the member"
