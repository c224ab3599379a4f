"""What stays: objects that were protected, objects with a failed postcondition, and deposed objects."""

from typing import Any

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.plan import Action
from dstream_state import ObjectState
from tests.services.recorder.world import World, actions, refused

PROTECTED = 'resource "rec_planned" "a" {\n  name = "a"\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n'
BARE = 'resource "rec_planned" "a" {\n  name = "a"\n}\n'
REMOVED = "removed {{\n  from = rec_planned.a\n{0}}}\n"


def test_prevent_destroy_survives_its_block_and_says_the_way_out(world: World) -> None:
    world.apply(PROTECTED)
    world.write("")
    for options in ({}, {"destroy": True}):
        [found] = refused(lambda options=options: world.plan(**options))
        assert found.summary == "Destruction prevented" and found.address == "rec_planned.a"
        assert "removed { from = rec_planned.a }" in found.detail
        assert "dstream state rm 'rec_planned.a'" in found.detail
    world.write(REMOVED.format("  lifecycle {\n    destroy = false\n  }\n"))
    assert actions(world.plan()) == {"rec_planned.a": Action.FORGET}
    world.apply(REMOVED.format(""))
    assert world.recorder.names() == [] and world.recorded == {}


def test_a_block_without_prevent_destroy_ends_the_protection_when_it_is_applied(world: World) -> None:
    world.apply(PROTECTED)
    world.apply(BARE)
    world.apply("")
    assert world.recorder.names() == []


def test_an_imported_or_updated_object_is_protected_as_well(world: World) -> None:
    world.apply(BARE)
    assert not world.recorded["rec_planned.a"].protected
    world.apply(PROTECTED.replace('"a"\n  life', '"a"\n  size = 2\n  life'))
    assert world.recorded["rec_planned.a"].protected
    form: Any = world.recorded["rec_planned.a"].to_json()
    assert ObjectState.from_json(form).protected
    del form["protected"]
    assert not ObjectState.from_json(form).protected, "earlier versions did not store it"


CHECKED = """
resource "rec_planned" "a" {
  name = "a"
  lifecycle {
    postcondition {
      condition     = self.uid == "another"
      error_message = "Not that one."
    }
  }
}
resource "rec_planned" "next" {
  name = "after-${rec_planned.a.uid}"
}
"""


def test_an_object_with_a_failed_postcondition_was_created(world: World) -> None:
    world.write(CHECKED)
    outcome = world.attempt()
    assert outcome.failed and outcome.counts["add"] == 1
    assert world.told.of("done") == ["create rec_planned.a"] and world.told.of("failed") == []
    assert world.told.of("skipped") == ["rec_planned.next because of rec_planned.a"]
    assert world.recorded["rec_planned.a"].status == "ok" and world.in_step()


def first(name: str) -> str:
    return (
        f'resource "rec_marked" "a" {{\n  name = "{name}"\n  lifecycle {{\n    create_before_destroy = true\n  }}\n}}\n'
    )


def test_a_healthy_deposed_object_outlives_the_making_of_its_replacement(world: World) -> None:
    world.apply(first("old"))
    world.write(first("new"))
    world.recorder.on("create", "new", fail="denied", made=True, times=2)
    world.attempt()
    assert {address: item.status for address, item in world.recorded.items()} == {
        "rec_marked.a": "tainted",
        "rec_marked.a#deposed": "ok",
    }
    assert actions(world.plan()) == {"rec_marked.a": Action.REPLACE, "rec_marked.a#deposed": Action.DELETE}
    assert any("rec_marked.a (deposed) will be destroyed" in line for line in plan_lines(world.plan(), Paint(False)))
    world.attempt()
    assert world.recorder.names() == ["new", "old"], "the healthy one is there until a new one is"
    assert world.in_step()
    world.recorder.forget_calls()
    world.apply()
    made = [each.rpartition("-")[0] or each for each in world.recorder.changes()]
    assert made == ["deleted new", "created new", "deleted old"]
    assert world.in_step() and not world.plan().has_changes


def test_a_deposed_object_in_the_way_of_the_new_one_goes_first(world: World) -> None:
    world.apply(first("old").replace("rec_marked", "rec_planned"))
    world.write(first("new").replace("rec_marked", "rec_planned"))
    world.recorder.on("create", "new", fail="denied", made=True, times=1)
    world.attempt()
    world.recorder.forget_calls()
    world.apply(first("old").replace("rec_marked", "rec_planned"))
    assert sorted(world.recorder.changes()[:2]) == ["deleted new", "deleted old"]
    assert world.recorder.names() == ["old"] and world.in_step()
