"""Several states of one configuration, in the folder and in Azurite, typed as commands."""

import json
import os
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from tests.e2e.commands import Ended, dstream
from tests.services.recorder.world import World

A = 'resource "rec_planned" "a" {\n  name = "in-${dstream.workspace}"\n}\n'
BLOB = 'dstream {{\n  backend "azurerm" {{\n    container_name = "{0}"\n    key            = "state.json"\n  }}\n}}\n'


@pytest.fixture(params=["local", "azurerm"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    if request.param == "azurerm":
        azurite = request.getfixturevalue("azurite")
        container = f"workspaces-{os.getpid()}-{abs(hash(str(tmp_path)))}"
        with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            service.create_container(container)
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
        made.backend = BLOB.format(container)
    made.write(A)
    return made


def run(world: World, *arguments: str, code: int = 0, **env: str) -> Ended:
    done = dstream(world.folder, *arguments, env=env)
    assert done.code == code, done.said
    return done


def test_workspaces_have_states_of_their_own(world: World) -> None:
    assert run(world, "workspace", "list").out == "* default\n"
    assert run(world, "workspace", "show").out == "default\n"
    run(world, "apply", "-auto-approve")
    run(world, "workspace", "new", "blue")
    assert run(world, "workspace", "show").out == "blue\n"
    assert run(world, "workspace", "list").out == "* blue\n  default\n"
    assert run(world, "state", "list").out == ""
    run(world, "apply", "-auto-approve")
    assert world.recorder.names() == ["in-blue", "in-default"]
    run(world, "workspace", "select", "default")
    assert json.loads(run(world, "workspace", "list", "-json").out) == {
        "workspaces": ["blue", "default"],
        "selected": "default",
    }
    run(world, "plan", "-detailed-exitcode")
    run(world, "destroy", "-auto-approve", DSTREAM_WORKSPACE="blue")
    assert world.recorder.names() == ["in-default"]
    run(world, "workspace", "delete", "blue")
    assert run(world, "workspace", "list").out == "* default\n"


def test_what_cannot_be_done_with_workspaces_is_said(world: World) -> None:
    assert "There is no workspace nope" in " ".join(run(world, "workspace", "select", "nope", code=1).err.split())
    run(world, "workspace", "select", "-or-create", "green")
    assert "already" in run(world, "workspace", "new", "green", code=1).err
    assert "selected" in run(world, "workspace", "delete", "green", code=1).err
    run(world, "apply", "-auto-approve")
    run(world, "workspace", "select", "default")
    assert "1 object" in run(world, "workspace", "delete", "green", code=1).err
    assert "always there" in run(world, "workspace", "delete", "default", code=1).err
    assert "a/b" in run(world, "workspace", "new", "a/b", code=1).err
    assert "DSTREAM_WORKSPACE" in run(world, "workspace", "select", "green", code=1, DSTREAM_WORKSPACE="default").err
    run(world, "workspace", "delete", "-force", "green")
    assert world.recorder.names() == ["in-green"]
