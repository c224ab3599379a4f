"""The lifecycle of objects, declared and of tasks: what is ignored, what sets off a replacement."""

import pytest

from dstream.engine.commands.validate import lint
from dstream.engine.setup.operation import OperationInputs
from dstream.plan import Action, Reason
from tests.services.recorder.world import World, actions, change, refused

A = 'resource "rec_planned" "a" {{\n  name = "a"\n{more}}}\n'


def a(more: str = "", lifecycle: str = "") -> str:
    inner = f"  lifecycle {{\n{lifecycle}\n  }}\n" if lifecycle else ""
    return A.format(more=more + inner)


def with_lifecycle(task: str, lifecycle: str) -> str:
    return task.rstrip().removesuffix("}") + f"  lifecycle {{\n{lifecycle}\n  }}\n}}\n"


def test_a_part_of_an_attribute_can_be_ignored(world: World) -> None:
    labels = '  labels = { team = "one", stage = "test" }\n'
    ignoring = '    ignore_changes = [labels["team"], note]'
    world.apply(a(labels, ignoring))
    world.recorder.put("rec_planned", "a", labels={"team": "by hand", "stage": "test"}, note="by hand")
    assert not world.plan().has_changes
    world.write(a(labels.replace("test", "live"), ignoring))
    assert change(world.plan(), "rec_planned.a").after["labels"] == {"team": "by hand", "stage": "live"}
    world.apply()
    assert world.recorder.objects()["rec_planned a"]["labels"] == {"team": "by hand", "stage": "live"}
    assert world.recorder.objects()["rec_planned a"]["note"] == "by hand"
    world.recorder.put("rec_planned", "a", labels={"stage": "live"})
    assert not world.plan().has_changes


FOLLOWER = """
resource "rec_planned" "f" {{
  name = "f"
  lifecycle {{
    replace_triggered_by = [{0}]
  }}
}}
"""


def test_one_attribute_can_set_off_a_replacement_and_the_others_do_not(world: World) -> None:
    follower = FOLLOWER.format("rec_planned.a.size")
    world.apply(a("  size = 1\n") + follower)
    world.write(a('  size = 1\n  note = "n"\n') + follower)
    assert actions(world.plan()) == {"rec_planned.a": Action.UPDATE}
    world.write(a("  size = 2\n") + follower)
    planned = change(world.plan(), "rec_planned.f")
    assert (planned.action, planned.reason) == (Action.REPLACE, Reason.TRIGGERED)


def test_one_instance_can_set_off_a_replacement_and_the_others_do_not(world: World) -> None:
    named = "  name = each.key\n  size = each.value\n"
    many = f'resource "rec_planned" "m" {{{{\n  for_each = {{{{ x = {{0}}, y = {{1}} }}}}\n{named}}}}}\n'
    follower = FOLLOWER.format('rec_planned.m["x"]')
    world.apply(many.format(1, 1) + follower)
    world.write(many.format(1, 2) + follower)
    assert set(actions(world.plan())) == {'rec_planned.m["y"]'}
    world.write(many.format(2, 1) + follower)
    assert set(actions(world.plan())) == {'rec_planned.m["x"]', "rec_planned.f"}


EACH = """
resource "rec_planned" "m" {{
  for_each = {{ x = {0}, y = 1 }}
  name     = each.key
  size     = each.value
}}
resource "rec_planned" "f" {{
  for_each = toset(["x", "y"])
  name     = "f${{each.key}}"
  lifecycle {{
    replace_triggered_by = [rec_planned.m[each.key]{1}]
  }}
}}
"""


@pytest.mark.parametrize("attribute", ["", ".size", '["size"]'])
def test_the_instance_of_the_same_key_sets_off_a_replacement_of_one_instance(world: World, attribute: str) -> None:
    world.apply(EACH.format(1, attribute))
    assert lint(OperationInputs(config=world.folder)).diagnostics == ()
    world.write(EACH.format(2, attribute))
    found = actions(world.plan())
    assert found == {'rec_planned.m["x"]': Action.UPDATE, 'rec_planned.f["x"]': Action.REPLACE}
    world.apply()
    assert not world.plan().has_changes


def test_the_objects_of_a_task_are_replaced_when_something_sets_it_off(world: World) -> None:
    task = with_lifecycle(world.task("Orders"), "    replace_triggered_by = [rec_planned.a.size]")
    world.apply(a("  size = 1\n") + task)
    world.write(a("  size = 2\n") + task)
    found = actions(world.plan())
    assert found.pop("rec_planned.a") is Action.UPDATE
    assert set(found.values()) == {Action.REPLACE} and len(found) == 4


@pytest.mark.parametrize("lifecycle", ["prevent_destroy = true", "ignore_changes = all", "ignore_changes = [size]"])
def test_the_lifecycle_of_a_task_holds_for_its_objects(world: World, lifecycle: str) -> None:
    world.apply(with_lifecycle(world.task("Orders"), f"    {lifecycle}"))
    changed = with_lifecycle(world.task("Orders", more="size = 5"), f"    {lifecycle}")
    if "prevent" in lifecycle:
        world.write(with_lifecycle(world.task("Customers"), f"    {lifecycle}"))
        assert {each.summary for each in refused(world.plan)} == {"Destruction prevented"}
    else:
        world.write(changed)
        assert actions(world.plan()) == {}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ignore_changes = [sizee]", "ignore_changes of rec_planned does not take sizee. Did you mean size?"),
        ('ignore_changes = [labelz["team"]]', "ignore_changes of rec_planned does not take labelz"),
        ("replace_triggered_by = [rec_planned.nope]", 'no attribute "nope"'),
        ("replace_triggered_by = [rec_planned.b.nope]", 'no attribute "nope"'),
        ("replace_triggered_by = [rec_table.nope]", "rec_table"),
    ],
)
def test_a_lifecycle_that_names_what_does_not_exist_is_refused(world: World, setting: str, said: str) -> None:
    world.write(a(lifecycle=f"    {setting}") + 'resource "rec_planned" "b" {\n  name = "b"\n}\n')
    assert said in refused(world.plan)[0].detail
