"""Moves that contradict the configuration or each other are refused, as Terraform refuses them."""

import pytest

from tests.services.recorder.world import World, actions, refused


def block(name: str, own: str, more: str = "") -> str:
    return f'resource "rec_planned" "{name}" {{\n{more}  name = {own}\n}}\n'


def moved(old: str, new: str) -> str:
    return f"moved {{\n  from = {old}\n  to   = {new}\n}}\n"


A, B, C = (block(name, f'"{name}"') for name in "abc")
COUNTED = block("a", '"a${count.index}"', "  count = 2\n")
KEYED = block("a", '"a${each.key}"', '  for_each = toset(["x", "y"])\n')


@pytest.mark.parametrize(
    ("after", "summary"),
    [
        (A + B + moved("rec_planned.a", "rec_planned.b"), "Moved object is still declared"),
        (COUNTED + B + moved("rec_planned.a[0]", "rec_planned.b"), "Moved object is still declared"),
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


def test_a_chain_of_moves_is_none(world: World) -> None:
    world.write(A)
    world.apply()
    world.write(block("c", '"a"') + moved("rec_planned.a", "rec_planned.b") + moved("rec_planned.b", "rec_planned.c"))
    assert actions(world.plan()) == {}
