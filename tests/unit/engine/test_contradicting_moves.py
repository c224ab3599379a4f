"""Moves that contradict the configuration or each other are refused, as Terraform refuses them."""

import pytest

from dstream.plan import Action
from tests.services.recorder.world import World, actions, change, refused


def block(name: str, own: str, more: str = "") -> str:
    return f'resource "rec_planned" "{name}" {{\n{more}  name = {own}\n}}\n'


def moved(old: str, new: str) -> str:
    return f"moved {{\n  from = {old}\n  to   = {new}\n}}\n"


A, B, C = (block(name, f'"{name}"') for name in "abc")
COUNTED = block("a", '"a${count.index}"', "  count = 2\n")
NONE = block("a", '"a${count.index}"', "  count = 0\n")
KEYED = block("a", '"a${each.key}"', '  for_each = toset(["x", "y"])\n')


@pytest.mark.parametrize(
    ("after", "summary"),
    [
        (A + B + moved("rec_planned.a", "rec_planned.b"), "Moved object still declared"),
        (COUNTED + B + moved("rec_planned.a[0]", "rec_planned.b"), "Moved object still declared"),
        (NONE + B + moved("rec_planned.a", "rec_planned.b"), "Moved object still declared"),
        (B + C + moved("rec_planned.a", "rec_planned.b") + moved("rec_planned.a", "rec_planned.c"), "Ambiguous move"),
    ],
)
def test_a_move_that_contradicts_is_refused(world: World, after: str, summary: str) -> None:
    world.write(A)
    world.apply()
    world.write(after)
    assert summary in [each.summary for each in refused(world.plan)]


@pytest.mark.parametrize("after", [COUNTED.replace('"a${count.index}"', '"a"').replace("= 2", "= 1"), KEYED])
def test_a_move_to_an_instance_of_the_same_block_is_none(world: World, after: str) -> None:
    world.write(A)
    world.apply()
    key = "[0]" if "count" in after else '["x"]'
    world.write(after + moved("rec_planned.a", f"rec_planned.a{key}"))
    assert world.plan() is not None


@pytest.mark.parametrize("order", [1, -1])
def test_a_chain_of_moves_is_none(world: World, order: int) -> None:
    world.write(A)
    world.apply()
    chain = [moved("rec_planned.a", "rec_planned.b"), moved("rec_planned.b", "rec_planned.c")]
    world.write(block("c", '"a"') + "".join(chain[::order]))
    assert actions(world.plan()) == {}


ONE = block("a", '"a"', "  count = 1\n")
TWO = block("a", 'count.index == 0 ? "a" : "other"', "  count = 2\n")


@pytest.mark.parametrize(("before", "after"), [(A, ONE), (ONE, A), (ONE, TWO)])
def test_an_object_stays_where_count_comes_or_goes(world: World, before: str, after: str) -> None:
    world.write(before)
    world.apply()
    uid = world.recorder.objects()["rec_planned a"]["uid"]
    world.write(after)
    assert [action for action in actions(world.plan()).values() if action is not Action.CREATE] == []
    world.apply()
    assert world.recorder.objects()["rec_planned a"]["uid"] == uid
    assert not world.plan().has_changes


def test_other_instances_stay_where_one_without_a_key_is_moved(world: World) -> None:
    world.write(TWO)
    world.apply()
    world.write(A)
    found = actions(world.plan())
    assert found == {"rec_planned.a[1]": Action.DELETE}


def test_an_object_that_is_moved_and_removed_shows_where_it_was(world: World) -> None:
    world.apply(A)
    world.write(NONE)
    planned = change(world.plan(), "rec_planned.a[0]")
    assert (planned.action, planned.moved_from) == (Action.DELETE, "rec_planned.a")
