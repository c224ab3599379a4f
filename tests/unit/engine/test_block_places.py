"""An error of a provider has the file and line of the block that caused it, when planning and when applying."""

from dstream.cli.render.diagnostics import diagnostics_text
from dstream.cli.render.paint import Paint
from dstream.engine.setup.block_places import place_of
from tests.services.recorder.world import World

MANY = """
resource "rec_table" "many" {
  for_each = toset(["a", "b", "c", "d", "e", "f"])
  name     = each.key
}
"""


def test_a_failed_creation_names_the_line_of_its_block_and_one_cause_is_one_error(world: World) -> None:
    world.write(MANY)
    world.recorder.on("create", "any", fail="invalid")
    outcome = world.attempt()
    assert len(outcome.diagnostics) == 6
    assert {each.subject.start.line for each in outcome.diagnostics if each.subject is not None} == {9}
    text = diagnostics_text(outcome.diagnostics, {}, Paint(enabled=False))
    assert text.count("Error: ") == 1 and "6 objects have this problem" in text and "dstream.hcl:9:1" in text


def test_a_failed_destruction_of_a_block_that_is_gone_has_its_address_alone(world: World) -> None:
    world.apply(MANY)
    world.write("")
    world.recorder.on("delete", "any", fail="invalid")
    found = world.attempt().diagnostics
    assert found and {each.subject for each in found} == {None} and all(each.address for each in found)


def test_an_object_of_a_task_has_the_place_of_the_side_that_requires_it(world: World) -> None:
    world.write(world.task("t"))
    config = world.operation().config
    task = config.tasks["copy"]
    assert place_of('task.copy.input.rec_marked["slot"]', config) == task.input.range
    assert place_of('task.copy.output.rec_table["box"]', config) == task.outputs[0].range
    assert place_of("task.copy", config) == task.range
    assert [place_of(each, config) for each in ("task.none", "rec_table.none", "not an address", "")] == [None] * 4
