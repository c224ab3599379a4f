"""Changes of outputs: compared with what is recorded, by the values and types of the language."""

import pytest

from tests.services.recorder.world import World


@pytest.mark.parametrize(("before", "after"), [("true", "1"), ("[0]", "[false]")])
def test_an_output_that_becomes_a_number_or_a_boolean_is_changed(world: World, before: str, after: str) -> None:
    world.apply(f'output "o" {{\n  value = {before}\n}}\n')
    assert not world.plan().has_changes
    world.write(f'output "o" {{\n  value = {after}\n}}\n')
    assert world.plan().has_changes
