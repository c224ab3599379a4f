"""Tasks: the objects that their providers ask for are planned, changed and destroyed as any others."""

import json
import threading

import pytest

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.plan import Action, Reason
from dstream_state import V1_LIFECYCLE, Checkpoint, StateLocked
from tests.services.recorder.world import World, actions, change, refused, said
from tests.services.shebang import shebang
from tests.state.earlier import as_earlier_versions_wrote_it

OUT = "task.copy.output"
SLOT = 'task.copy.input.rec_marked["slot"]'


def derived(*tables: str) -> set[str]:
    keys = [*tables, *(f"stream-{table}" for table in tables)]
    return {SLOT, f'{OUT}.rec_table["box"]', *(f'{OUT}.rec_planned["{key}"]' for key in keys)}


def test_what_a_task_needs_follows_from_its_configuration(world: World) -> None:
    world.write(world.task("t", "u"))
    planned = world.plan()
    assert actions(planned) == dict.fromkeys(derived("t", "u"), Action.CREATE)
    assert [(note.address, note.applied, note.streams) for note in planned.tasks] == [("task.copy", False, ("t", "u"))]
    world.apply()
    assert world.recorder.names() == ["box-x", "part-t", "part-u", "slot-copy", "stream-t", "stream-u"]
    assert set(world.recorded) == derived("t", "u")
    assert world.recorded[f'{OUT}.rec_planned["t"]'].dependencies == (f'{OUT}.rec_table["box"]',)
    again = world.plan()
    assert not again.has_changes
    assert again.tasks[0].applied


def test_objects_of_a_task_come_in_the_order_that_its_provider_asks_for(world: World) -> None:
    world.write(world.task("t"))
    world.recorder.on("create", "box-x", slow=0.2)
    world.apply()
    done = world.recorder.changes()
    assert done.index("created box-x") < done.index("created part-t")
    world.recorder.forget_calls()
    world.recorder.on("delete", "part-t", slow=0.2)
    world.apply(destroy=True)
    done = world.recorder.changes()
    assert done.index("deleted part-t") < done.index("deleted box-x")
    assert world.snapshot.tasks == {}


def test_another_table_is_another_object_and_one_less_is_one_less(world: World) -> None:
    world.apply(world.task("t", "u"))
    world.write(world.task("u", "v"))
    planned = world.plan()
    assert actions(planned) == {
        f'{OUT}.rec_planned["t"]': Action.DELETE,
        f'{OUT}.rec_planned["stream-t"]': Action.DELETE,
        f'{OUT}.rec_planned["v"]': Action.CREATE,
        f'{OUT}.rec_planned["stream-v"]': Action.CREATE,
    }
    assert change(planned, f'{OUT}.rec_planned["t"]').reason is Reason.NOT_WANTED_BY_TASK
    assert not planned.tasks[0].applied
    world.apply()
    assert set(world.recorded) == derived("u", "v")
    assert world.in_step()


def test_an_object_under_an_earlier_name_is_the_same_object(world: World) -> None:
    world.apply(world.task("old-t").replace("part-old-t", "part-t"))
    world.write(world.task("t"))
    found = change(world.plan(), f'{OUT}.rec_planned["t"]')
    assert found.moved_from == f'{OUT}.rec_planned["old-t"]'


def test_a_change_of_the_configuration_changes_its_objects_and_the_task_is_applied_anew(world: World) -> None:
    world.apply(world.task("t"))
    before = world.snapshot.tasks["task.copy"].fingerprint
    world.apply(world.task("t", more="size = 3"))
    assert world.recorder.objects()["rec_planned part-t"]["size"] == 3
    assert world.snapshot.tasks["task.copy"].fingerprint != before


def test_a_task_with_a_failed_object_is_not_applied(world: World) -> None:
    world.write(world.task("t"))
    world.recorder.on("create", "stream-t", fail="denied", times=1)
    world.attempt()
    assert world.snapshot.tasks == {}
    world.apply()
    assert list(world.snapshot.tasks) == ["task.copy"]


def test_a_removed_task_takes_its_objects_along_and_its_checkpoint_is_put_aside(world: World) -> None:
    other = world.task("z", name="other", more='region = "other"')
    world.apply(world.task("t") + other)
    backend = world.operation().backend
    with backend.task("copy").acquire("a test", 5) as lease:
        lease.store(Checkpoint({"at": 7}))
    world.write(other)
    planned = world.plan()
    assert [note.address for note in planned.tasks if note.removed] == ["task.copy"]
    world.apply()
    assert not [address for address in world.recorded if address.startswith("task.copy.")]
    assert list(world.snapshot.tasks) == ["task.other"]
    assert backend.task("copy").read().checkpoint is None
    assert "7" in world.everything_written().decode("utf-8", "replace")
    world.apply(world.task("t") + other)
    assert backend.task("copy").read().checkpoint is None


def test_a_task_that_runs_keeps_what_it_needs(world: World) -> None:
    world.apply(world.task("t"))
    world.write("")
    backend = world.operation().backend
    held, done = threading.Event(), threading.Event()

    def run() -> None:
        with backend.task("copy").acquire("run", 5):
            held.set()
            done.wait(30)

    runner = threading.Thread(target=run)
    runner.start()
    held.wait(10)
    try:
        from dstream.engine.apply.apply import ApplyOptions, apply

        try:
            apply(world.operation(), ApplyOptions(), lambda plan: True, world.told, world.stop)
        except StateLocked as problem:
            assert "copy" in f"{problem.summary} {problem.detail}"
        else:
            raise AssertionError("the objects of a running task were destroyed")
        assert world.in_step()
    finally:
        done.set()
        runner.join()
    world.apply()
    assert world.recorder.names() == []


def test_a_task_that_moves_while_it_runs_is_refused_and_takes_its_checkpoint_along_once_it_stopped(
    world: World,
) -> None:
    world.apply(world.task("t"))
    backend = world.operation().backend
    moved = world.task("t", name="fresh").replace("slot-fresh", "slot-copy")
    moved += "moved {\n  from = task.copy\n  to = task.fresh\n}\n"
    with backend.task("copy").acquire("run", 5) as lease:
        lease.store(Checkpoint({"at": 7}))
        world.write(moved)
        with pytest.raises(StateLocked, match="-stop-tasks"):
            world.attempt(lock_timeout=0.1)
        assert list(world.snapshot.tasks) == ["task.copy"]
    world.attempt()
    assert list(world.snapshot.tasks) == ["task.fresh"]
    stored = backend.task("fresh").read().checkpoint
    assert stored is not None and stored.position == {"at": 7}
    assert backend.task("copy").read().checkpoint is None


def test_a_task_that_waits_for_a_value_is_deferred_and_keeps_what_it_has(world: World) -> None:
    made = 'resource "rec_planned" "a" {\n  name = "a"\n}\n'
    waiting = world.task("t").replace('["t"]', "[rec_planned.a.uid]")
    world.write(made + waiting)
    planned = world.plan()
    assert actions(planned) == {"rec_planned.a": Action.CREATE, "task.copy": Action.DEFERRED}
    assert "config.tables" in change(planned, "task.copy").detail
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.snapshot.tasks == {}
    world.apply()
    assert "part-uid-of-a" in world.recorder.names()
    assert not world.plan().has_changes
    # What the task needs is replaced: its value is unknown again, and its objects stay until it is known.
    world.apply(made.replace('"a"\n}', '"a"\n  zone = "there"\n}') + waiting)
    assert "part-uid-of-a" in world.recorder.names()


def test_what_is_wrong_with_a_task_is_told_with_its_place_and_nothing_of_it_is_destroyed(world: World) -> None:
    world.apply(world.task("t"))
    world.write(world.task("t", more='bad = "t"') + 'resource "rec_planned" "a" {\n  name = 5 + "x"\n}\n')
    found = refused(world.attempt)
    assert sorted(each.summary for each in found)[0] == "Cannot be moved"
    assert len(found) == 2, said(found)
    wrong = next(each for each in found if each.summary == "Cannot be moved")
    assert wrong.address is not None and wrong.address.startswith("task.copy")
    assert wrong.subject is not None
    assert world.in_step()


def test_instances_of_a_task_are_tasks_of_their_own(world: World) -> None:
    text = world.task("t").replace('task "copy" {', 'task "copy" {\n  for_each = toset(["eu", "us"])')
    # The output's objects bear the instance's name, so that each has its own.
    own = "tables = [each.key]\n      region = each.key\n    }\n  }\n}"
    text = text.replace('tables = ["t"]\n    }\n  }\n}', own).replace('tables = ["t"]', "tables = []")
    world.apply(text)
    assert sorted(world.snapshot.tasks) == ['task.copy["eu"]', 'task.copy["us"]']
    assert [name for name in world.recorder.names() if name.startswith("box")] == ["box-eu", "box-us"]
    slots = [name for name in world.recorder.names() if name.startswith("slot")]
    assert slots == ['slot-copy["eu"]', 'slot-copy["us"]']
    world.apply(text.replace('["eu", "us"]', '["us"]'))
    assert list(world.snapshot.tasks) == ['task.copy["us"]']
    assert world.in_step()


def test_a_lifecycle_holds_for_all_objects_of_a_task(world: World) -> None:
    guarded = "  lifecycle {\n    prevent_destroy = true\n  }\n}\n"
    text = world.task("t").rstrip().removesuffix("}") + guarded
    world.apply(text)
    world.write(text.replace('["t"]', "[]"))
    found = refused(world.plan)
    assert {each.summary for each in found} == {"Destruction prevented"}
    assert len(found) == 2


V1 = """
import json, os, sys
if os.environ.get("DSTREAM_PROBE"):
    sys.exit(3)
opening = json.loads(sys.stdin.readline())
with open({log!r}, "a") as file:
    file.write(json.dumps([opening["command"], opening["config"].get("n")]) + "\\n")
status = "failed" if opening["config"].get("n") == 13 else "success"
print(json.dumps({{"Status": status, "Resources": ["queue-1"], "Message": "as told"}}))
"""


V1_TASK = """
task "t" {{
  input {{
    provider = "counter"
  }}
  output {{
    provider_path = "./bin/old"
    config {{
      n = {n}
    }}
  }}
}}
"""


@pytest.mark.processes
def test_an_output_of_version_1_is_initialized_when_it_changes_and_destroyed_at_the_end(world: World) -> None:
    log = world.folder / "v1.log"
    (world.recorder.bin / "old").write_text(shebang("-S") + V1.format(log=str(log)))
    (world.recorder.bin / "old").chmod(0o755)
    text = V1_TASK

    def asked() -> list[list[object]]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    world.write(text.format(n=1))
    planned = world.plan()
    assert actions(planned) == {"task.t.output.lifecycle": Action.CREATE}
    assert "version 1" in planned.tasks[0].notes[0]
    world.apply()
    world.apply()
    assert asked() == [["init", 1]]
    world.apply(text.format(n=2))
    assert asked()[1:] == [["init", 2]]
    world.write(text.format(n=13))
    assert "as told" in said(world.attempt().diagnostics)
    world.apply(text.format(n=2))
    count = len(asked())
    world.apply("")
    assert asked()[count:] == [["destroy", 2]]
    assert world.recorded == {}


def _as_earlier_releases_stored_it(world: World) -> None:
    """Rewrite the state: the type of version 1 lifecycles was stored as `lifecycle`."""
    folder = world.folder / ".dstream" / "state" / "default"
    document = (folder / "state.json").read_bytes()
    assert b"v1:lifecycle" in document
    (folder / "state.json").write_bytes(document.replace(b'"v1:lifecycle"', b'"lifecycle"'))
    as_earlier_versions_wrote_it(folder)


@pytest.mark.processes
def test_a_version_1_lifecycle_that_an_earlier_release_recorded_is_still_one(world: World) -> None:
    log = world.folder / "v1.log"
    (world.recorder.bin / "old").write_text(shebang("-S") + V1.format(log=str(log)))
    (world.recorder.bin / "old").chmod(0o755)
    world.apply(V1_TASK.format(n=1))
    _as_earlier_releases_stored_it(world)
    assert {item.type for item in world.recorded.values()} == {V1_LIFECYCLE}
    assert actions(world.plan()) == {}
    world.write(V1_TASK.format(n=2))
    assert actions(world.plan()) == {"task.t.output.lifecycle": Action.UPDATE}
    world.apply("")
    assert [json.loads(line) for line in log.read_text().splitlines()] == [["init", 1], ["destroy", 1]]
    assert world.recorded == {}


class TestATypeNamedLifecycle:
    """A version 2 provider may call a type `lifecycle`; its objects are as any others."""

    ADDRESS = f'{OUT}.lifecycle["main"]'

    def test_what_forces_a_replacement_replaces(self, world: World) -> None:
        world.apply(world.task(more='lifecycles = { main = "here" }'))
        world.write(world.task(more='lifecycles = { main = "there" }'))
        found = change(world.plan(), self.ADDRESS)
        assert found.action is Action.REPLACE
        world.apply()
        assert [each for each in world.recorder.changes() if each.endswith(" main")] == [
            "created main", "deleted main", "created main",
        ]  # fmt: skip

    def test_an_update_that_fails_keeps_what_was_recorded(self, world: World) -> None:
        world.apply(world.task(more='lifecycles = { main = "here" }'))
        before = world.recorded[self.ADDRESS].attributes
        world.recorder.on("update", "main", fail="fatal")
        world.write(world.task(more='lifecycles = { main = "here" }\n      size = 5'))
        assert "told to fail" in said(world.attempt().diagnostics)
        assert world.recorded[self.ADDRESS].attributes == before
        assert before["uid"] == "uid-of-main"

    def test_an_attribute_that_is_not_known_yet_defers_the_task(self, world: World) -> None:
        world.write(world.task(more='lifecycles = { main = "later" }'))
        assert change(world.plan(), "task.copy").action is Action.DEFERRED

    def test_one_that_is_called_as_the_object_of_a_version_1_output_is_not_mistaken_for_it(self, world: World) -> None:
        world.apply(world.task(more='lifecycles = { lifecycle = "here" }'))
        assert world.recorded[f'{OUT}.lifecycle["lifecycle"]'].type == "lifecycle"

    def test_one_may_be_declared(self, world: World) -> None:
        text = 'resource "lifecycle" "main" {{\n  provider = "rec"\n  name = "main"\n  zone = "{zone}"\n}}\n'
        world.apply(text.format(zone="here"))
        world.write(text.format(zone="there"))
        assert change(world.plan(), "lifecycle.main").action is Action.REPLACE


class TestReleased:
    """What a task's provider says that it needs no longer, and that nothing is lost with."""

    OLD = f'{OUT}.rec_table["old"]'

    def released(self, world: World, more: str = "") -> str:
        world.apply(world.task("t", more='retired = ["old"]'))
        return world.task("t", more='retired = ["-old"]') + more

    def test_it_is_destroyed_without_a_loss_of_data_and_the_plan_warns_of_what_the_provider_has_to_say(
        self, world: World
    ) -> None:
        world.write(self.released(world))
        planned = world.plan()
        found = change(planned, self.OLD)
        assert (found.action, found.reason, found.loses_data) == (Action.DELETE, Reason.RELEASED, False)
        (warning,) = planned.diagnostics
        assert (warning.severity, warning.summary, warning.address) == ("warning", "Released", "task.copy")
        assert "config.retired" in warning.detail
        assert "no data is lost" in "\n".join(plan_lines(planned, Paint(enabled=False)))
        assert [each.summary for each in world.drift().warnings] == ["Released"]
        world.apply()
        assert "old" not in world.recorder.names()
        assert world.in_step()

    def test_without_a_word_of_its_provider_it_is_a_loss_of_data(self, world: World) -> None:
        self.released(world)
        world.write(world.task("t"))
        found = change(world.plan(), self.OLD)
        assert (found.reason, found.loses_data) == (Reason.NOT_WANTED_BY_TASK, True)

    def test_it_goes_while_the_task_runs(self, world: World) -> None:
        world.write(self.released(world))
        with world.operation().backend.task("copy").acquire("run", 5):
            world.apply(lock_timeout=0.1)
        assert "old" not in world.recorder.names()

    def test_what_is_gone_is_forgotten_while_the_task_runs(self, world: World) -> None:
        world.write(self.released(world))
        world.recorder.vanish("rec_table", "old")
        with world.operation().backend.task("copy").acquire("run", 5):
            world.apply(lock_timeout=0.1)
        assert self.OLD not in world.recorded

    def test_it_stays_where_the_task_prevents_destruction(self, world: World) -> None:
        text = self.released(world)
        world.write(text.replace('task "copy" {', 'task "copy" {\n  lifecycle {\n    prevent_destroy = true\n  }\n'))
        assert self.OLD not in actions(world.plan())
        world.apply()
        assert "old" in world.recorder.names() and self.OLD in world.recorded

    def test_destroy_takes_it_along_as_any_other(self, world: World) -> None:
        self.released(world)
        found = change(world.plan(destroy=True), self.OLD)
        assert (found.reason, found.loses_data) == (Reason.DESTROY, True)
