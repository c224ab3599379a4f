"""What a user types after a crash, a lock that was left behind, a state that somebody damaged."""

import re
import signal
import uuid
from pathlib import Path

import pytest

from dstream_state import open_backend
from tests.e2e.commands import dstream, start
from tests.events import PATIENCE, until
from tests.services.azurite import Azurite
from tests.services.recorder.world import World

AZURE = """dstream {{
  backend "azurerm" {{
    container_name = "{container}"
    key            = "left"
  }}
}}
"""


def blocks(*names: str) -> str:
    return "".join(f'resource "rec_marked" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


def test_a_lock_that_a_killed_apply_left_is_ended_by_its_id(
    tmp_path: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    container = f"left{uuid.uuid4().hex[:20]}"
    settings = {"connection_string": azurite.connection_string, "container_name": container, "key": "left"}
    open_backend("azurerm", settings, root=tmp_path).prepare()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    world.backend = AZURE.format(container=container)
    world.write(blocks("a", "b"))
    world.recorder.on("create", "a", gate="never")
    killed = start(tmp_path, "apply", "-auto-approve")
    until(lambda: world.recorder.calls("create"), "the first creation")
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=PATIENCE)
    world.recorder.behave()
    locked = dstream(tmp_path, "apply", "-auto-approve")
    assert locked.code == 1
    found = re.search(r"`dstream force-unlock (\S+)`", locked.err)
    assert found, locked.err
    for wrong in ([], ["not-this-one"]):
        refused = dstream(tmp_path, "force-unlock", "-force", *wrong)
        assert refused.code == 1
        assert found[1] in refused.err
    unlocked = dstream(tmp_path, "force-unlock", found[1], "-force")
    assert unlocked.code == 0, unlocked.said
    assert f"pid {killed.pid}" in unlocked.out
    applied = dstream(tmp_path, "apply", "-auto-approve")
    assert applied.code == 0, applied.said
    assert "An earlier operation was interrupted" in applied.out
    assert world.recorder.names() == ["a", "b"]


def test_a_state_that_was_damaged_by_hand_is_refused_and_restored(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(blocks("a", "b"))
    (tmp_path / ".dstream/state/default/state.json").write_text("not what it was")
    for command in (["plan"], ["apply", "-auto-approve"], ["state", "list"]):
        refused = dstream(tmp_path, *command)
        assert refused.code == 1
        text = " ".join(refused.err.replace("│", " ").split())
        assert "Damaged state" in text and "dstream state restore" in text
    listed = dstream(tmp_path, "state", "history")
    assert listed.code == 0, listed.said
    serial = listed.out.split()[0]
    restored = dstream(tmp_path, "state", "restore", serial, "-force")
    assert restored.code == 0, restored.said
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    assert world.in_step()
    assert [path.read_text() for path in (tmp_path / ".dstream/state/default/aside").iterdir()] == ["not what it was"]


@pytest.mark.parametrize("loss", ["emptied", "deleted", "older"])
def test_a_lost_state_is_refused_and_repaired_without_creating_anything_again(tmp_path: Path, loss: str) -> None:
    world = World(tmp_path)
    state = tmp_path / ".dstream/state/default/state.json"
    world.apply(blocks("a"))
    earlier = state.read_bytes()
    world.apply(blocks("a", "b"))
    if loss == "deleted":
        state.unlink()
    else:
        state.write_bytes(earlier if loss == "older" else b"")
    for command in (["plan"], ["apply", "-auto-approve"], ["destroy", "-auto-approve"], ["state", "list"], ["output"]):
        refused = dstream(tmp_path, *command)
        assert refused.code == 1
        assert "DS4020" in refused.err and "dstream state repair" in refused.err
    assert world.recorder.names() == ["a", "b"]
    repaired = dstream(tmp_path, "state", "repair", "-force")
    assert repaired.code == 0, repaired.said
    assert "its metadata" in repaired.out and "2 objects" in repaired.out
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    assert world.in_step()
    assert dstream(tmp_path, "state", "repair").out.strip() == "The state is not damaged."
