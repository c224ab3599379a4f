"""One object has one address: two imports of it, or an import of what the state has, are refused."""

from pathlib import Path

import pytest

from tests.services.recorder.world import World, actions, refused

SUMMARY = "One object at two addresses"


def block(name: str, of: str = "", kind: str = "rec_blind") -> str:
    return f'resource "{kind}" "{name}" {{\n  name = "{of or name}"\n}}\n'


def imported(name: str, identity: str, kind: str = "rec_blind") -> str:
    return f'import {{\n  to = {kind}.{name}\n  id = "{identity}"\n}}\n'


def assert_refused(world: World, first: str, second: str) -> None:
    [found] = refused(world.plan)
    assert found.summary == SUMMARY
    assert f"{first} and {second} would both manage" in found.detail
    assert f"moved {{ from = {first}, to = {second} }}" in found.detail and f"state rm '{second}'" in found.detail


def test_two_imports_of_one_id_are_refused(world: World) -> None:
    world.recorder.put("rec_blind", "x")
    both = block("a", "x") + block("b", "x") + imported("a", "x") + imported("b", "x")
    world.write(both)
    assert_refused(world, "rec_blind.a", "rec_blind.b")


@pytest.mark.parametrize("declared", [True, False])
def test_an_import_of_what_the_state_has_is_refused(world: World, declared: bool) -> None:
    world.apply(block("a"))
    identity = world.recorded["rec_blind.a"].identity["id"]
    taken = block("b", "a") + imported("b", identity)
    world.write((block("a") if declared else "") + taken)
    assert_refused(world, "rec_blind.a", "rec_blind.b")
    world.write("removed {\n  from = rec_blind.a\n  lifecycle {\n    destroy = false\n  }\n}\n" + taken)
    world.apply()
    assert list(world.recorded) == ["rec_blind.b"] and world.in_step()


def test_an_import_that_the_command_names_is_refused_as_well(world: World) -> None:
    world.apply(block("a"))
    identity = world.recorded["rec_blind.a"].identity["id"]
    world.write(block("a") + block("b", "a"))
    [found] = refused(lambda: world.plan(imports={"rec_blind.b": identity}))
    assert found.summary == SUMMARY


def test_two_blocks_with_one_identity_are_refused_before_either_is_made(world: World) -> None:
    world.write(block("a", "x", "rec_planned") + block("b", "x", "rec_planned"))
    assert_refused(world, "rec_planned.a", "rec_planned.b")


def test_two_objects_may_swap_their_identities_in_time(world: World) -> None:
    world.apply(block("a", "x", "rec_planned") + block("b", "y", "rec_planned"))
    world.write(block("a", "z", "rec_planned") + block("b", "x", "rec_planned"))
    assert set(actions(world.plan())) == {"rec_planned.a", "rec_planned.b"}


def other(world: World, folder: str = "", more: str = "") -> str:
    """Return a second provider block, by default with the arguments of the first."""
    settings = f'    folder = "{folder or world.recorder.folder}"\n{more}'
    return f'provider "other" {{\n  provider_path = "./bin/rec"\n  config {{\n{settings}  }}\n}}\n'


def second(name: str, of: str, kind: str = "rec_planned") -> str:
    return f'resource "{kind}" "{name}" {{\n  provider = other\n  name = "{of}"\n}}\n'


def test_two_equal_providers_are_one(world: World) -> None:
    world.write(other(world) + block("a", "x", "rec_planned") + second("b", "x"))
    assert_refused(world, "rec_planned.a", "rec_planned.b")
    world.write(other(world) + block("a", "x", "rec_planned") + second("b", "y"))
    world.apply()
    assert world.recorder.names() == ["x", "y"]


def test_an_import_through_an_equal_provider_is_refused(world: World) -> None:
    world.apply(block("a"))
    identity = world.recorded["rec_blind.a"].identity["id"]
    world.write(other(world) + block("a") + second("b", "a", "rec_blind") + imported("b", identity))
    assert_refused(world, "rec_blind.a", "rec_blind.b")


def test_providers_with_other_arguments_have_objects_of_their_own(world: World, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    world.write(other(world, str(tmp_path / "far")) + block("a", "x", "rec_planned") + second("b", "x"))
    assert set(actions(world.plan())) == {"rec_planned.a", "rec_planned.b"}
