"""What an operation is about: targets, exclusions, and taking over only what really exists."""

import pytest

from dstream.plan import Action
from tests.services.recorder.world import World, actions, change, refused

CHAIN = """
resource "rec_planned" "base" {
  for_each = toset(["x", "y"])
  name     = "base-${each.key}"
}
resource "rec_planned" "top" {
  name = "top"
  note = rec_planned.base["x"].uid
}
resource "rec_planned" "other" {
  name = "other"
}
output "uid" {
  value = rec_planned.other.uid
}
"""
X, Y = 'rec_planned.base["x"]', 'rec_planned.base["y"]'


def test_a_target_takes_with_it_what_it_needs(world: World) -> None:
    world.write(CHAIN)
    assert set(actions(world.plan(targets=("rec_planned.top",)))) == {X, Y, "rec_planned.top"}
    assert set(actions(world.plan(targets=("rec_planned.other",)))) == {"rec_planned.other"}


def test_a_target_may_be_one_instance(world: World) -> None:
    world.write(CHAIN)
    assert set(actions(world.plan(targets=(X,)))) == {X}
    world.apply(targets=(X,))
    assert world.recorder.names() == ["base-x"]
    assert set(actions(world.plan(targets=(Y, "rec_planned.top")))) == {Y, "rec_planned.top"}
    world.apply()
    assert not world.plan().has_changes


def test_a_target_may_be_one_object_of_a_task(world: World) -> None:
    world.write(world.task("Orders", "Customers"))
    one = 'task.copy.output.rec_planned["Orders"]'
    box = 'task.copy.output.rec_table["box"]'
    assert set(actions(world.plan(targets=(one,)))) == {one, box}
    outcome = world.apply(targets=(one,))
    assert outcome.counts["add"] == 2
    assert "task.copy" not in world.snapshot.tasks
    world.apply()
    assert "task.copy" in world.snapshot.tasks


def test_what_is_excluded_is_left_out_with_what_needs_it(world: World) -> None:
    world.write(CHAIN)
    assert set(actions(world.plan(exclude=("rec_planned.base",)))) == {"rec_planned.other"}
    assert set(actions(world.plan(exclude=("rec_planned.other",)))) == {X, Y, "rec_planned.top"}
    assert set(actions(world.plan(exclude=(Y,)))) == {X, "rec_planned.other"}


def test_an_excluded_object_of_a_task_goes_with_what_needs_it(world: World) -> None:
    world.write(world.task("Orders", "Customers"))
    box, part = 'task.copy.output.rec_table["box"]', 'task.copy.output.rec_planned["Orders"]'
    left = set(actions(world.plan(exclude=(part,))))
    assert part not in left and box in left
    left = set(actions(world.plan(exclude=(box,))))
    assert not {box, part} & left
    assert 'task.copy.input.rec_marked["slot"]' in left


def test_what_is_excluded_is_not_destroyed_nor_what_it_needs(world: World) -> None:
    world.apply(CHAIN)
    assert set(actions(world.plan(destroy=True, exclude=("rec_planned.top",)))) == {"rec_planned.other"}
    assert set(actions(world.plan(destroy=True, exclude=(Y,)))) == {X, "rec_planned.top", "rec_planned.other"}
    world.write(CHAIN.replace('"x", "y"', '"x"'))
    assert actions(world.plan(exclude=(Y,))) == {}
    assert actions(world.plan()) == {Y: Action.DELETE}


def test_an_address_that_names_nothing_is_an_error(world: World) -> None:
    world.write(CHAIN)
    for options in ({"targets": ("rec_planned.tpo",)}, {"exclude": ("rec_planned.tpo",)}):
        [problem] = refused(lambda options=options: world.plan(**options))
        assert problem.summary == "Unknown address"
        assert "rec_planned.top" in problem.detail


def test_only_what_really_exists_is_taken_into_the_state(world: World) -> None:
    world.apply(CHAIN)
    world.write(CHAIN.replace('"other"\n}', '"other"\n  size = 8\n}'))
    world.recorder.put("rec_planned", "other", size=5, uid="uid-by-hand")
    world.recorder.vanish("rec_planned", "top")
    plan = world.plan(refresh_only=True)
    assert plan.has_changes and plan.changes == ()
    assert [(each.address, str(each.kind)) for each in plan.drifts] == [
        ("rec_planned.other", "changed"),
        ("rec_planned.top", "missing"),
    ]
    world.recorder.forget_calls()
    world.apply(refresh_only=True)
    assert world.recorder.changes() == []
    assert world.recorded["rec_planned.other"].attributes["size"] == 5
    assert "rec_planned.top" not in world.recorded
    assert world.snapshot.outputs["uid"].value == "uid-by-hand"
    assert not world.plan(refresh_only=True).has_changes
    planned = world.plan()
    assert change(planned, "rec_planned.other").action is Action.UPDATE
    assert change(planned, "rec_planned.top").action is Action.CREATE
    assert not planned.drifts


@pytest.mark.parametrize("kind", ["rec_secret"])
def test_only_what_exists_is_taken_also_where_there_are_secrets(world: World, kind: str) -> None:
    text = f'resource "{kind}" "s" {{\n  name = "s"\n  password = "p4ss"\n}}\n'
    world.apply(text)
    world.recorder.put(kind, "s", size=3)
    world.apply(refresh_only=True)
    item = world.recorded[f"{kind}.s"]
    assert item.attributes["size"] == 3
    assert b"p4ss" not in world.everything_written()
    world.apply()
    assert not world.plan().has_changes


def test_an_output_that_depends_on_targets_alone_is_planned_with_them(world: World) -> None:
    two = 'resource "rec_planned" "a" {\n  name = "a"\n}\nresource "rec_planned" "b" {\n  name = "b"\n}\n'
    outputs = 'output "own" {{\n  value = rec_planned.a.name\n}}\noutput "both" {{\n  value = "{}{}"\n}}\n'
    world.write(two + outputs.format("${rec_planned.a.name}", "${rec_planned.b.name}"))
    assert [each.name for each in world.plan(targets=("rec_planned.a",)).outputs] == ["own"]
