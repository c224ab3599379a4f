"""A plan says what changes in a task: attribute by attribute, secrets unshown, and what becomes of its position."""

import json

import pytest

from dstream.cli.render.document import plan_document
from dstream.cli.render.markdown import markdown
from dstream.cli.render.page import page
from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.engine.commands.state_edit import move
from dstream.plan import Action, Plan, TaskChange
from dstream_state import Checkpoint
from dstream_state.codec import dumps
from tests.services.recorder.world import World, refused
from tests.state.earlier import as_earlier_versions_wrote_it


def text_of(plan: Plan) -> str:
    return "\n".join(plan_lines(plan, Paint(enabled=False)))


def only(plan: Plan) -> TaskChange:
    (found,) = plan.tasks
    return found


def task_part(plan: Plan) -> list[str]:
    """The lines about tasks of a printed plan."""
    lines = text_of(plan).splitlines()
    return [line for line in lines[lines.index("Tasks:") + 2 :] if line]


def test_a_new_task_is_shown_with_its_settings(world: World) -> None:
    world.write(world.task("t"))
    plan = world.plan()
    assert only(plan).action is Action.CREATE
    lines = task_part(plan)
    assert lines[0] == "  # task.copy will be created"
    assert lines[1] == "  # 1 stream: t"
    assert any(line.strip().startswith("+ input") for line in lines)
    assert lines[-1].endswith("to add, 0 to change, 0 to destroy. Tasks: 1 to add.")


def test_a_changed_task_is_shown_attribute_by_attribute(world: World) -> None:
    world.apply(world.task("t", more="size = 3"))
    world.write(world.task("t", more="size = 4"))
    plan = world.plan()
    found = only(plan)
    assert found.action is Action.UPDATE
    lines = task_part(plan)
    assert "  # task.copy will be changed" in lines
    assert "          - config.size = 3" in lines
    assert "          + config.size = 4" in lines
    assert "Tasks: 1 to change." in lines[-1]
    form = plan.to_json()["task_changes"][0]
    assert form["change"]["actions"] == ["update"]
    assert form["change"]["before"]["output"]["config"]["size"] == 3
    assert form["change"]["after"]["output"]["config"]["size"] == 4
    assert plan.to_json()["summary"]["tasks"] == {"add": 0, "change": 1, "replace": 0, "move": 0, "remove": 0}


def test_every_form_of_a_plan_tells_a_change_from_a_creation(world: World) -> None:
    world.write(world.task("t", more="size = 3"))
    new = world.plan()
    world.apply()
    world.write(world.task("t", more="size = 4"))
    changed = world.plan()
    for form in (text_of, lambda plan: markdown(plan_document(plan)), lambda plan: "".join(page(plan_document(plan)))):
        assert "task.copy" in form(new) and "will be created" in form(new)
        assert "will be changed" in form(changed) and "config.size" in form(changed)


def test_a_changed_secret_is_said_and_neither_value_is_in_the_plan_or_in_the_state(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPY_ZONE", "first-hidden-zone")
    text = world.task("t", more='lifecycles = { main = env("COPY_ZONE") }')
    world.apply(text)
    monkeypatch.setenv("COPY_ZONE", "second-hidden-zone")
    world.write(text)
    plan = world.plan()
    assert "          ~ config.lifecycles.main = (sensitive value, changed)" in task_part(plan)
    assert ["output", "config", "lifecycles", "main"] in plan.to_json()["task_changes"][0]["change"][
        "sensitive_changes"
    ]
    settings = dumps(dict(world.snapshot.tasks["task.copy"].settings or {}))
    for written in (text_of(plan), json.dumps(plan.to_json(), default=str), settings.decode()):
        assert "hidden-zone" not in written


@pytest.mark.processes
def test_a_task_whose_input_is_another_provider_starts_anew_and_the_plan_says_so(world: World) -> None:
    head, _, rest = world.task("t").partition("input {")
    world.apply(f'{head}input {{\n    provider = "counter"\n  }}\n  output {{{rest.partition("output {")[2]}')
    world.write(world.task("t"))
    found = only(world.plan())
    assert found.action is Action.REPLACE
    assert "  # (it starts over: its checkpoint is that of counter)" in task_part(world.plan())


def test_a_removed_task_is_shown_with_the_settings_that_it_had(world: World) -> None:
    world.apply(world.task("t"))
    world.write("")
    plan = world.plan()
    assert only(plan).before is not None
    lines = task_part(plan)
    assert "  # task.copy will be removed; its checkpoint is archived" in lines
    assert "Tasks: 1 to remove." in lines[-1]


def test_streams_that_come_and_go_are_named(world: World) -> None:
    world.apply(world.task("t", "u"))
    world.write(world.task("u", "v"))
    found = only(world.plan())
    assert (found.new_streams, found.lost_streams) == (("v",), ("t",))
    lines = task_part(world.plan())
    assert "  # 1 stream new since the last apply: v" in lines
    assert "  # 1 stream no longer delivered: t" in lines


def test_a_state_of_an_earlier_version_says_that_it_does_not_have_the_settings(world: World) -> None:
    world.apply(world.task("t", more="size = 3"))
    _without_settings(world)
    assert not world.plan().has_changes
    world.write(world.task("t", more="size = 4"))
    assert "did not keep the settings" in text_of(world.plan())
    world.apply()
    world.write(world.task("t", more="size = 5"))
    assert "          - config.size = 4" in task_part(world.plan())


def test_an_apply_of_something_else_adds_the_settings_that_an_earlier_version_did_not_keep(world: World) -> None:
    world.apply(world.task("t"))
    _without_settings(world)
    world.apply(world.task("t") + 'resource "rec_planned" "a" {\n  name = "a"\n}\n')
    assert world.snapshot.tasks["task.copy"].settings is not None


def _without_settings(world: World) -> None:
    """Rewrite the state as the versions before settings were kept."""
    folder = world.folder / ".dstream" / "state" / "default"
    as_earlier_versions_wrote_it(folder)
    form = json.loads((folder / "state.json").read_text())
    for task in form["tasks"].values():
        del task["settings"], task["streams"]
    (folder / "state.json").write_text(json.dumps(form, separators=(",", ":")) + "\n")


INSTANCES = 'task "copy" {\n  for_each = toset(["eu", "us"])'


def _instances(world: World, name: str = "copy") -> str:
    text = world.task("t").replace('task "copy" {', INSTANCES)
    own = "tables = [each.key]\n      region = each.key\n    }\n  }\n}"
    text = text.replace('tables = ["t"]\n    }\n  }\n}', own).replace('tables = ["t"]', "tables = []")
    return text.replace('task "copy"', f'task "{name}"')


def _store(world: World, *flows: str) -> None:
    for flow in flows:
        with world.operation().backend.task(flow).acquire("a test", 5) as lease:
            lease.store(Checkpoint({"of": flow}))


def _stored(world: World, flow: str) -> object:
    found = world.operation().backend.task(flow).read().checkpoint
    return found.position if found is not None else None


def test_a_block_that_moves_takes_the_positions_of_all_its_instances_along(world: World) -> None:
    world.apply(_instances(world))
    _store(world, 'copy["eu"]', 'copy["us"]')
    world.write(_instances(world, "fresh") + "moved {\n  from = task.copy\n  to   = task.fresh\n}\n")
    plan = world.plan()
    assert [(task.address, task.moved_from, task.action) for task in plan.tasks] == [
        ('task.fresh["eu"]', 'task.copy["eu"]', Action.NO_OP),
        ('task.fresh["us"]', 'task.copy["us"]', Action.NO_OP),
    ]
    assert '  # task.copy["eu"] has moved to task.fresh["eu"]' in task_part(plan)
    assert "Tasks: 2 to move." in text_of(plan)
    world.attempt()
    assert sorted(world.snapshot.tasks) == ['task.fresh["eu"]', 'task.fresh["us"]']
    assert _stored(world, 'fresh["eu"]') == {"of": 'copy["eu"]'}
    assert _stored(world, 'fresh["us"]') == {"of": 'copy["us"]'}
    assert not world.plan().has_changes


def test_a_task_that_gets_a_count_keeps_its_position(world: World) -> None:
    world.apply(world.task("t"))
    _store(world, "copy")
    counted = world.task("t").replace('task "copy" {', 'task "copy" {\n  count = 1')
    world.write(counted)
    assert only(world.plan()).moved_from == "task.copy"
    world.attempt()
    assert _stored(world, "copy[0]") == {"of": "copy"}
    world.write(world.task("t"))
    assert only(world.plan()).moved_from == "task.copy[0]"
    world.attempt()
    assert _stored(world, "copy") == {"of": "copy"}


def test_a_move_to_a_task_that_exists_is_refused(world: World) -> None:
    other = world.task("z", name="other", more='region = "other"')
    world.apply(world.task("t") + other)
    world.write(other + "moved {\n  from = task.copy\n  to   = task.other\n}\n")
    assert "Move to an address in use" in {each.summary for each in refused(world.plan)}


def test_state_mv_of_a_block_takes_the_positions_of_its_instances_along(world: World) -> None:
    world.apply(_instances(world))
    _store(world, 'copy["eu"]')
    move(world.operation(), "task.copy", "task.fresh", 5, world.told)
    assert sorted(world.snapshot.tasks) == ['task.fresh["eu"]', 'task.fresh["us"]']
    assert _stored(world, 'fresh["eu"]') == {"of": 'copy["eu"]'}
    world.write(_instances(world, "fresh"))
    assert {task.action for task in world.plan().tasks} == {Action.NO_OP}
