"""A changed `backend` block: noticed by every command, and moved or reconfigured by `init`."""

import json
from pathlib import Path

import pytest

from dstream_state import Checkpoint, StateMoved, open_backend
from dstream_state.backend import Backend
from tests.e2e.commands import dstream
from tests.services.azurite import Azurite
from tests.services.recorder.world import World

ELSEWHERE = 'dstream {\n  backend "local" {\n    path = "elsewhere"\n  }\n}\n'
PARTIAL = 'dstream {\n  backend "local" {}\n}\n'


def blocks(*names: str) -> str:
    return "".join(f'resource "rec_marked" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.apply(blocks("a", "b"))
    return world


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def place(root: Path, path: str = ".dstream/state", workspace: str = "default") -> Backend:
    return open_backend("local", {"path": path}, root=root, workspace=workspace)


def change(world: World, backend: str = ELSEWHERE) -> None:
    world.backend = backend
    world.write(blocks("a", "b"))


def test_a_changed_backend_is_refused_by_init_and_by_every_command_that_reads_state(
    world: World, tmp_path: Path
) -> None:
    change(world)
    for command in (
        ["init"],
        ["plan"],
        ["apply", "-auto-approve"],
        ["state", "list"],
        ["status"],
        ["workspace", "list"],
    ):
        refused = dstream(tmp_path, *command)
        assert refused.code == 1, refused.said
        text = flat(refused.err)
        assert "Backend changed [DS4021]" in text, refused.said
        assert "dstream init -migrate-state" in text and "dstream init -reconfigure" in text
    assert world.recorder.names() == ["a", "b"]
    assert not (tmp_path / "elsewhere").exists()


def test_migrate_state_moves_everything_and_marks_the_old_state(world: World, tmp_path: Path) -> None:
    assert dstream(tmp_path, "workspace", "new", "eu").code == 0
    assert dstream(tmp_path, "workspace", "select", "default").code == 0
    with place(tmp_path).task("copy").acquire("run") as task:
        task.store(Checkpoint({"lsn": 7}, "task.copy"))
        task.dead_letters.append([(b"{}", "bad")])
    before = place(tmp_path).read().snapshot
    change(world)
    moved = dstream(tmp_path, "init", "-migrate-state")
    assert moved.code == 0, moved.said
    assert "workspace default: 2 objects, 1 earlier snapshot, 1 checkpoint, 1 dead letter" in moved.out
    assert "workspace eu: 0 objects" in moved.out
    new = place(tmp_path, "elsewhere")
    assert new.read().snapshot == before
    assert new.workspaces() == ["default", "eu"]
    checkpoint = new.task("copy").read().checkpoint
    assert checkpoint is not None
    assert checkpoint.position == {"lsn": 7}
    assert len(new.task("copy").dead_letters.list()) == 1
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    assert dstream(tmp_path, "apply", "-auto-approve").code == 0
    (tmp_path / ".dstream/backend.json").unlink()
    change(world, "")
    refused = dstream(tmp_path, "plan")
    assert refused.code == 1
    assert "was moved from here to local state in" in flat(refused.err)
    assert world.recorder.names() == ["a", "b"]


AZURE = """dstream {
  backend "azurerm" {
    container_name = "moved"
    key            = "team/shop.json"
  }
}
"""


def contents(backend: Backend) -> dict[str, object]:
    """Everything that a move carries, of both workspaces."""
    found: dict[str, object] = {}
    for name in ("default", "eu"):
        at = backend.at(name)
        task = at.task("copy")
        letters = [(each, task.dead_letters.read(each)) for each in task.dead_letters.list()]
        history = [(each.serial, at.past(each.serial)) for each in at.history()]
        found[name] = (at.read().snapshot, history, task.read().checkpoint, letters)
    return found


def test_state_moves_to_blob_storage_and_back(world: World, tmp_path: Path, azurite: Azurite) -> None:
    env = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    world.apply(blocks("a", "b", "c"))
    assert dstream(tmp_path, "workspace", "new", "eu").code == 0
    assert dstream(tmp_path, "workspace", "select", "default").code == 0
    for name in ("default", "eu"):
        with place(tmp_path, workspace=name).task("copy").acquire("run") as task:
            task.store(Checkpoint({"lsn": f"at-{name}"}, "task.copy"))
            task.dead_letters.append([(b'{"n": 1}', "bad"), (b'{"n": 2}', "worse")])
    before = contents(place(tmp_path))
    change(world, AZURE)
    there = dstream(tmp_path, "init", "-migrate-state", env=env)
    assert there.code == 0, there.said
    connection = azurite.connection_string
    settings = {"container_name": "moved", "key": "team/shop.json", "connection_string": connection}
    blobs = open_backend("azurerm", settings, root=tmp_path)
    assert contents(blobs) == before
    with blobs.task("copy").acquire("run") as task:
        task.store(Checkpoint({"lsn": "further"}, "task.copy"))
    before = contents(blobs)
    change(world, PARTIAL)
    back = dstream(tmp_path, "init", "-migrate-state", env=env)
    assert back.code == 0, back.said
    assert "workspace default: 3 objects, " in back.out
    assert contents(place(tmp_path)) == before
    with pytest.raises(StateMoved):
        blobs.read()
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env=env).code == 2, "c is not in this configuration"


def test_state_moves_back(world: World, tmp_path: Path) -> None:
    change(world)
    assert dstream(tmp_path, "init", "-migrate-state").code == 0
    change(world, "")
    assert "Backend changed" in dstream(tmp_path, "plan").err
    back = dstream(tmp_path, "init", "-migrate-state")
    assert back.code == 0, back.said
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    explicit = dstream(tmp_path, "state", "migrate", "-from=local", "-from-config=path=nowhere")
    assert explicit.code == 0, explicit.said
    assert "There is no state to move" in explicit.out


def test_a_state_is_not_moved_over_another_one_nor_while_a_task_runs(world: World, tmp_path: Path) -> None:
    with place(tmp_path, "elsewhere").lock("apply") as held:
        held.finish()
    change(world)
    refused = dstream(tmp_path, "init", "-migrate-state")
    assert refused.code == 1
    assert "has another state already" in flat(refused.err)
    change(world, ELSEWHERE.replace("elsewhere", "third"))
    with place(tmp_path).task("copy").acquire("run"):
        running = dstream(tmp_path, "init", "-migrate-state")
    assert running.code == 1
    assert "Task copy is held by" in flat(running.err)
    assert place(tmp_path).read().snapshot is not None


def test_reconfigure_uses_the_new_place_and_leaves_the_old_one(world: World, tmp_path: Path) -> None:
    change(world)
    done = dstream(tmp_path, "init", "-reconfigure")
    assert done.code == 0, done.said
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 2
    assert len((place(tmp_path).read().snapshot or pytest.fail("lost")).resources) == 2


def test_backend_config_completes_the_block_and_is_kept_without_credentials(tmp_path: Path) -> None:
    world = World(tmp_path)
    change(world, PARTIAL)
    file = tmp_path / "prod.dsbackend"
    file.write_text('path = "from-file"\n')
    done = dstream(tmp_path, "init", f"-backend-config={file}", "-backend-config=path=prod")
    assert done.code == 0, done.said
    assert dstream(tmp_path, "apply", "-auto-approve").code == 0
    assert (tmp_path / "prod/default/state.json").exists()
    assert not (tmp_path / ".dstream/state").exists()
    assert json.loads((tmp_path / ".dstream/backend.json").read_text())["overrides"] == {"path": "prod"}
    other = dstream(tmp_path, "init", "-backend-config=path=test")
    assert other.code == 1
    assert "Backend changed" in other.err
    for wrong in ("access_key=abc", "no-such-file"):
        refused = dstream(tmp_path, "init", f"-backend-config={wrong}")
        assert refused.code == 1
        assert "DS4024" in refused.err
    assert "ARM_ACCESS_KEY" in dstream(tmp_path, "init", "-backend-config=access_key=abc").err
