"""Taking over what exists and states by hand, typed as commands."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import Ended, dstream
from tests.services.recorder.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, *arguments: str, code: int = 0, **env: str) -> Ended:
    done = dstream(world.folder, *arguments, env=env)
    assert done.code == code, done.said
    return done


A = 'resource "rec_planned" "a" {\n  name = "a"\n}\n'
IMPORT = 'import {{\n  to = {0}\n  id = "{1}"\n}}\n'


def test_blocks_are_written_for_what_is_imported_and_not_declared(world: World) -> None:
    world.recorder.put("rec_planned", "a", size=7, tags=["x"], labels={"a b": "${c}"}, note='say "hi"\nthere')
    world.recorder.put("rec_secret", "s", password="p4ss-planted")
    world.write(IMPORT.format("rec_planned.a", "a") + IMPORT.format("rec_secret.s", "s"))
    assert "-generate-config-out" in run(world, "plan", code=1).err
    planned = run(world, "plan", "-generate-config-out", "made.hcl", code=1)
    assert "Wrote made.hcl" in planned.out
    assert "rec_secret needs password" in planned.err and "on made.hcl:" in planned.err
    text = (world.folder / "made.hcl").read_text()
    assert "uid" not in text and "zone" not in text and "p4ss" not in text + planned.said
    assert "# password is sensitive" in text
    # The secret, which is never written, has to be given; then everything is as it is.
    (world.folder / "made.hcl").write_text(text.replace("  # password", '  password = "p4ss-planted" #'))
    ready = run(world, "plan", "-detailed-exitcode", code=2)
    assert "1 to change" in ready.out and "2 to import" in ready.out and "withheld" not in ready.out
    run(world, "apply", "-auto-approve")
    assert world.recorder.changes() == ["updated s"]
    run(world, "plan", "-detailed-exitcode")
    assert world.recorder.objects()["rec_planned a"]["labels"] == {"a b": "${c}"}
    exists = run(world, "plan", "-generate-config-out", "made.hcl", code=1)
    assert "already exists" in exists.err


def test_the_command_imports_one_object_and_can_write_its_block(world: World) -> None:
    world.recorder.put("rec_planned", "a")
    world.write("")
    run(world, "import", "-generate-config-out", "a.hcl", "rec_planned.a", "a")
    assert world.recorded["rec_planned.a"].identity == {"name": "a"}
    run(world, "plan", "-detailed-exitcode")
    assert "already" in run(world, "import", "rec_planned.a", "a", code=1).err
    assert "Nothing to import" in run(world, "import", "rec_planned.b", "b", code=1).err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 2),
        (("-target=rec_planned.b",), 0),
        (("-target=rec_planned.a",), 2),
        (("-exclude=rec_planned.a",), 0),
        (("-refresh-only",), 0),
        (("-destroy", "-target=rec_planned.b"), 2),
        (("-replace=rec_planned.b", "-target=rec_planned.b"), 2),
        (("-refresh=false", "-target=rec_planned.b"), 0),
        (("-target=rec_planned.nope",), 1),
        (("-target=rec_planned.a", "-exclude=rec_planned.b"), 1),
        (("-refresh-only", "-destroy"), 1),
        (("-refresh-only", "-refresh=false"), 1),
    ],
)
def test_the_exit_code_says_whether_there_is_anything_to_do(world: World, options: tuple[str, ...], code: int) -> None:
    world.apply(A + A.replace('"a"', '"b"'))
    world.write(A.replace("}", "  size = 2\n}") + A.replace('"a"', '"b"'))
    run(world, "plan", "-detailed-exitcode", *options, code=code)


def test_refresh_only_is_planned_saved_and_applied(world: World) -> None:
    world.apply(A)
    world.recorder.put("rec_planned", "a", size=9)
    planned = run(world, "plan", "-refresh-only", "-detailed-exitcode", "-out", "p.plan", code=2)
    assert "1 changed" in planned.out
    assert json.loads(run(world, "show", "-json", "p.plan").out)["mode"] == "refresh-only"
    run(world, "apply", "p.plan")
    assert world.recorded["rec_planned.a"].attributes["size"] == 9
    assert world.recorder.changes() == ["created a"]
    run(world, "plan", "-refresh-only", "-detailed-exitcode")
    world.recorder.vanish("rec_planned", "a")
    run(world, "apply", "-refresh-only", "-auto-approve")
    assert world.recorded == {}


def test_loss_of_data_is_allowed_by_two_options_or_by_somebody_at_a_terminal(world: World) -> None:
    world.apply(A.replace("rec_planned", "rec_table"))
    world.write("")
    refused = run(world, "apply", "-auto-approve", code=1)
    assert "rec_table.a" in refused.err and "-allow-data-loss" in refused.err
    assert "destroys data" in refused.out.lower()
    assert world.recorder.names() == ["a"]
    run(world, "apply", "-auto-approve", "-allow-data-loss")
    assert world.recorder.names() == []


def test_what_is_not_whole_or_not_known_is_shown_as_such(world: World) -> None:
    world.write(A)
    world.recorder.on("create", "a", fail="fatal", made=True, times=1)
    run(world, "apply", "-auto-approve", code=1)
    world.write(A + 'resource "rec_blind" "b" {\n  name = "b"\n}\n')
    world.recorder.on("create", "b", crash="after", times=1)
    run(world, "apply", "-auto-approve", "-target=rec_blind.b", code=1)
    listed = run(world, "state", "list").out
    assert "rec_planned.a (tainted)" in listed and "rec_blind.b (unresolved)" in listed
    shown = run(world, "show").out
    assert "replaces it" in shown and "check whether it exists" in shown
    assert "To review: 2" in run(world, "show", "-format", "markdown").out
    assert "unresolved" in run(world, "state", "show", "rec_blind.b").out
    found = json.loads(run(world, "show", "-json").out)["values"]["root_module"]["resources"]
    assert {each["address"]: each["status"] for each in found} == {
        "rec_planned.a": "tainted",
        "rec_blind.b": "unresolved",
    }
    assert "dstream import rec_blind.b" in " ".join(run(world, "plan", code=1).err.split())
    run(world, "state", "rm", "rec_blind.b")
    assert "must be replaced" in run(world, "plan", "-target=rec_planned.a").out


def test_what_is_tainted_may_be_kept(world: World) -> None:
    world.write(A)
    world.recorder.on("create", "a", fail="fatal", made=True, times=1)
    run(world, "apply", "-auto-approve", code=1)
    assert "must be replaced" in run(world, "plan").out
    assert "no longer tainted" in run(world, "untaint", "rec_planned.a").out
    assert "No changes" in run(world, "plan").out
    assert "Not tainted" in run(world, "untaint", "rec_planned.a", code=1).err
    assert "Did you mean rec_planned.a?" in run(world, "untaint", "rec_planned.aa", code=1).err
    assert "-replace=ADDRESS" in run(world, "taint", "rec_planned.a", code=1).err
