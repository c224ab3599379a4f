"""Objects get new addresses, are let go, are taken over; old ones are raised: nothing is made twice or lost."""

import json

import pytest
from msgspec.structs import replace

from dstream.engine.commands.import_ import import_object
from dstream.engine.commands.state_edit import forget, move
from dstream.plan import Action, DriftKind
from dstream_state import Put
from tests.services.recorder.world import Told, World, actions, change, refused

A = 'resource "rec_planned" "a" {\n  name = "part-Orders"\n}\n'
PART = 'task.copy.output.rec_planned["Orders"]'
BOX = 'task.copy.output.rec_table["box"]'


def moved(old: str, new: str) -> str:
    return f"moved {{\n  from = {old}\n  to   = {new}\n}}\n"


def test_an_object_moves_into_a_task_and_out_of_it(world: World) -> None:
    world.apply(A)
    world.write(world.task("Orders") + moved("rec_planned.a", PART))
    plan = world.plan()
    assert change(plan, PART).moved_from == "rec_planned.a"
    assert change(plan, PART).action is Action.NO_OP
    world.apply()
    assert "created part-Orders" not in world.recorder.changes()[1:]
    item = world.recorded[PART]
    assert (item.provider, item.key) == ("task.copy.output", "Orders")
    assert not world.plan().has_changes
    # And back: the task no longer asks for it.
    world.write(world.task("Customers") + A + moved(PART, "rec_planned.a"))
    assert change(world.plan(), "rec_planned.a").moved_from == PART
    world.apply()
    item = world.recorded["rec_planned.a"]
    assert (item.provider, item.key) == ("provider.rec", "rec_planned.a")
    assert "deleted part-Orders" not in world.recorder.changes()
    assert world.in_step()
    assert not world.plan().has_changes


def test_state_mv_does_the_same_by_hand(world: World) -> None:
    world.apply(A)
    world.write(world.task("Orders"))
    assert move(world.operation(), "rec_planned.a", PART, 5, Told()) == [("rec_planned.a", PART)]
    world.apply()
    assert world.recorder.changes().count("created part-Orders") == 1
    world.write(world.task("Customers") + A)
    move(world.operation(), PART, "rec_planned.a", 5, Told())
    world.apply()
    assert "deleted part-Orders" not in world.recorder.changes()
    assert world.in_step()


def test_an_object_does_not_move_to_another_type(world: World) -> None:
    world.apply(A)
    world.write(A.replace("rec_planned", "rec_table") + moved("rec_planned.a", "rec_table.a"))
    assert [each.summary for each in refused(world.plan)] == ["Moved to another type"]
    assert [each.summary for each in refused(lambda: move(world.operation(), "rec_planned.a", BOX, 5, Told()))] == [
        "Moved to another type"
    ]


REMOVED = "removed {{\n  from = {0}\n  lifecycle {{\n    destroy = false\n  }}\n}}\n"


def test_what_is_let_go_stays_and_is_no_longer_managed(world: World) -> None:
    world.apply(A.replace("part-Orders", "lone") + world.task("Orders", "Customers"))
    text = world.task("Orders") + REMOVED.format('task.copy.output.rec_planned["Customers"]')
    world.write(text + REMOVED.format("rec_planned.a"))
    found = actions(world.plan())
    assert found["rec_planned.a"] is Action.FORGET
    assert found['task.copy.output.rec_planned["Customers"]'] is Action.FORGET
    assert found['task.copy.output.rec_planned["stream-Customers"]'] is Action.DELETE
    world.apply()
    assert "part-Customers" in world.recorder.names()
    assert 'task.copy.output.rec_planned["Customers"]' not in world.recorded
    world.write(REMOVED.format("task.copy"))
    assert set(actions(world.plan()).values()) == {Action.FORGET}


def test_a_removed_block_about_what_is_still_declared_is_an_error(world: World) -> None:
    for address in ("rec_planned.a", PART, "task.copy"):
        world.write(A + world.task("Orders") + REMOVED.format(address))
        assert {each.summary for each in refused(world.plan)} == {"Removed object still declared"}


MANY = """
resource "rec_planned" "many" {
  for_each = toset(["x", "y z"])
  name     = "many-${each.key}"
}
import {
  for_each = toset(["x", "y z"])
  to       = rec_planned.many[each.key]
  id       = "many-${each.key}"
}
"""


def test_many_objects_are_taken_over_by_one_import_block(world: World) -> None:
    world.recorder.put("rec_planned", "many-x")
    world.recorder.put("rec_planned", "many-y z", size=4)
    world.write(MANY)
    plan = world.plan()
    assert plan.counts["import"] == 2
    assert actions(plan) == {'rec_planned.many["y z"]': Action.UPDATE}
    world.apply()
    assert world.recorder.changes() == ["updated many-y z"]
    assert not world.plan().has_changes


def test_objects_of_a_task_are_taken_over(world: World) -> None:
    world.recorder.put("rec_table", "box-x")
    world.write(world.task("Orders") + f'import {{\n  to = {BOX}\n  id = "box-x"\n}}\n')
    assert change(world.plan(), BOX).importing == {"name": "box-x"}
    world.apply()
    assert "created box-x" not in world.recorder.changes()
    assert not world.plan().has_changes


@pytest.mark.parametrize(
    ("address", "hint"),
    [("rec_planned.b", "-generate-config-out"), ('rec_planned.a["x"]', "for_each"), (BOX + "", "task")],
)
def test_an_import_to_what_nothing_asks_for_is_an_error(world: World, address: str, hint: str) -> None:
    world.recorder.put("rec_planned", "b")
    world.write(A + f'import {{\n  to = {address}\n  id = "b"\n}}\n')
    found = refused(world.plan)
    assert [each.summary for each in found] == ["Nothing to import to"]
    assert hint in found[0].detail


def test_an_object_that_nobody_can_tell_of_is_taken_in_by_import_or_given_up_by_state_rm(world: World) -> None:
    text = 'resource "rec_blind" "b" {\n  name = "b"\n}\n'
    world.write(text)
    world.recorder.on("create", "b", crash="after", times=1)
    world.attempt()
    assert world.recorded["rec_blind.b"].status == "unresolved"
    assert {each.summary for each in refused(world.plan)} == {"Unresolved object"}
    stored = json.loads(next((world.recorder.folder / "objects").glob("rec_blind b-*")).read_text())
    import_object(world.operation(), "rec_blind.b", stored["id"], 5, Told())
    assert world.recorded["rec_blind.b"].status == "ok"
    assert not world.plan().has_changes
    assert forget(world.operation(), ["rec_blind.b"], 5, Told()) == ["rec_blind.b"]
    assert world.recorded == {}


def test_state_rm_of_a_task_forgets_that_it_was_applied(world: World) -> None:
    world.apply(world.task("Orders"))
    found = forget(world.operation(), ["task.copy"], 5, Told())
    assert "task.copy" in found and PART in found
    assert world.recorded == {} and world.snapshot.tasks == {}


def test_only_what_a_replacement_left_can_be_forgotten(world: World) -> None:
    cbd = "  lifecycle {\n    create_before_destroy = true\n  }\n}\n"
    world.apply(A.replace("}\n", cbd))
    world.write(A.replace("part-Orders", "new").replace("}\n", cbd))
    world.recorder.on("delete", "part-Orders", fail="denied", times=1)
    world.attempt()
    assert forget(world.operation(), ["rec_planned.a#deposed"], 5, Told()) == ["rec_planned.a#deposed"]
    assert list(world.recorded) == ["rec_planned.a"]


# -- schema versions ---------------------------------------------------------------------------------------

VERSIONED = 'resource "rec_versioned" "v" {\n  name = "v"\n  size = 2\n}\n'


def record_as(world: World, **changes: object) -> None:
    """Change what is recorded of the object."""
    item = world.recorded["rec_versioned.v"]
    with world.operation().backend.lock("test") as held:
        held.append([Put("rec_versioned.v", replace(item, **changes))])
        held.finish()


def test_an_object_of_an_older_version_is_raised_before_it_is_compared(world: World) -> None:
    world.apply(VERSIONED)
    old = {"title": "v", "size": 2, "uid": "uid-of-v"}
    record_as(world, schema_version=1, attributes=old)
    assert not world.plan().has_changes
    assert not world.plan(refresh=False).has_changes
    report = world.drift()
    assert (report.drifts, len(report.pending), report.checked, report.exit_code) == ((), 0, 1, 0)
    world.recorder.put("rec_versioned", "v", zone="there")
    [drift] = world.drift().drifts
    assert (drift.address, drift.before["zone"], drift.after["zone"]) == ("rec_versioned.v", "here", "there")
    world.recorder.put("rec_versioned", "v", zone="here")
    assert world.recorded["rec_versioned.v"].schema_version == 1
    world.recorder.forget_calls()
    world.apply()
    item = world.recorded["rec_versioned.v"]
    assert (item.schema_version, item.attributes["name"]) == (2, "v")
    assert "title" not in item.attributes
    assert world.recorder.changes() == []
    record_as(world, schema_version=1, attributes=old)
    world.apply(destroy=True)
    assert world.recorder.objects() == {}


def test_an_object_that_a_newer_provider_recorded_is_left_alone(world: World) -> None:
    world.apply(VERSIONED)
    record_as(world, schema_version=7)
    found = refused(world.plan)
    assert [each.summary for each in found] == ["Object recorded by a newer provider"]
    assert found[0].address == "rec_versioned.v"
    report = world.drift()
    assert report.exit_code == 1
    assert [(each.address, each.kind) for each in report.drifts] == [("rec_versioned.v", DriftKind.UNREACHABLE)]
    assert "Object recorded by a newer provider" in report.drifts[0].detail
