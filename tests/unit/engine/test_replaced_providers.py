"""A task whose provider is replaced by another: the recorded one still removes what it created."""

import shutil

import pytest

from dstream.plan import Action
from tests.e2e.commands import dstream
from tests.services.recorder.world import World, actions

SLOT = 'task.copy.input.rec_marked["slot"]'


def counting(world: World) -> str:
    """The task with `counter` as its input, which creates nothing."""
    head, _, rest = world.task("t").partition("input {")
    return f'{head}input {{\n    provider = "counter"\n  }}\n  output {{{rest.partition("output {")[2]}'


@pytest.mark.processes
def test_the_recorded_provider_destroys_what_it_created_for_the_task(world: World) -> None:
    world.apply(world.task("t"))
    world.write(counting(world))
    plan = world.plan()
    assert actions(plan)[SLOT] is Action.DELETE
    world.apply()
    assert SLOT not in world.recorded and "slot-copy" not in world.recorder.names()
    assert set(world.snapshot.providers) == {"task.copy.input", "task.copy.output"} & {
        item.provider for item in world.recorded.values()
    }
    assert not actions(world.plan())


@pytest.mark.processes
def test_the_recorded_provider_stays_in_the_state_until_its_last_object_is_gone(world: World) -> None:
    world.apply(world.task("t"))
    world.write(counting(world))
    world.recorder.on("delete", "any", fail="denied")
    assert world.attempt().diagnostics
    assert world.recorded[SLOT].provider == "task.copy.input#previous"
    assert world.drift().checked and not world.drift().drifts
    world.recorder.behave()
    world.apply()
    assert world.in_step() and SLOT not in world.recorded
    assert "task.copy.input#previous" not in world.snapshot.providers


@pytest.mark.processes
def test_an_output_may_be_replaced_by_a_provider_without_objects(world: World) -> None:
    world.apply(world.task("t"))
    head, _, _ = world.task("t").partition("output {")
    world.write(f'{head}output {{\n    provider = "log"\n  }}\n}}\n')
    world.apply()
    assert world.recorder.names() == ["slot-copy"]
    assert world.in_step()


@pytest.mark.processes
def test_a_provider_that_moved_to_another_path_keeps_its_objects(world: World) -> None:
    world.apply(world.task("t"))
    shutil.copy(world.recorder.bin / "rec-in", world.recorder.bin / "rec-in-moved")
    world.write(world.task("t").replace("./bin/rec-in", "./bin/rec-in-moved"))
    assert not actions(world.plan())


@pytest.mark.processes
def test_a_saved_plan_has_the_recorded_provider_remove_its_objects(world: World) -> None:
    world.apply(world.task("t"))
    world.write(counting(world))
    assert dstream(world.folder, "plan", "-out", "p.plan").code == 0
    done = dstream(world.folder, "apply", "p.plan")
    assert done.code == 0, done.said
    assert SLOT not in world.recorded and world.in_step()


def test_a_provider_block_may_have_the_name_of_what_kept_providers_are_called_by(world: World) -> None:
    block = f"""provider "previous" {{
  provider_path = "./bin/rec"
  config {{
    folder = "{world.recorder.folder}"
  }}
}}
resource "rec_planned" "a" {{
  provider = provider.previous
  name     = "a"
}}
"""
    world.apply(block)
    world.write("")
    assert actions(world.plan()) == {"rec_planned.a": Action.DELETE}
    world.apply()
    assert world.recorder.names() == []
