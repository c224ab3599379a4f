"""Twenty processes that apply at once: one after the other, none in vain. `make soak` lets them do it for a minute."""

import contextlib
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from dstream_state import open_backend
from tests.services import command_server
from tests.services.azurite import Azurite
from tests.services.recorder.world import World

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
PROCESSES = 20
AZURE = """dstream {{
  backend "azurerm" {{
    container_name = "{container}"
    key            = "many"
  }}
}}
"""
BLOCK = """
resource "rec_marked" "n{number}" {{
  name = "n{number}"
  size = var.size
}}
"""


@pytest.fixture
def place(request: pytest.FixtureRequest, where: str, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    if where == "azurerm":
        azurite: Azurite = request.getfixturevalue("azurite")
        container = f"many{uuid.uuid4().hex[:20]}"
        settings = {"connection_string": azurite.connection_string, "container_name": container, "key": "many"}
        open_backend("azurerm", settings, root=world.folder).prepare()
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
        world.backend = AZURE.format(container=container)
    blocks = "".join(BLOCK.format(number=number) for number in range(PROCESSES))
    world.write('variable "size" {\n  type = number\n}\n' + blocks)
    return world


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("where", "seconds"),
    [
        ("azurerm", 0),
        pytest.param("azurerm", 60, marks=pytest.mark.soak),
        pytest.param("local", 60, marks=pytest.mark.soak),
    ],
)
def test_serials_are_consecutive_and_every_change_is_there(
    place: World, where: str, seconds: float, record_property: Any
) -> None:
    command = [sys.executable, "-m", "tests.services.recorder.contending", str(place.folder)]
    running = command_server.start_program(
        [*command, str(PROCESSES), str(seconds)], cwd=ROOT, env=os.environ, leads=True, text=True
    )
    try:
        said, errors = running.communicate(timeout=800)
        assert running.returncode == 0, errors
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    lines = [tuple(map(int, line.split())) for line in said.splitlines()]
    assert {number for number, _, _ in lines} == set(range(PROCESSES))
    assert sorted(serial for _, serial, _ in lines) == list(range(1, len(lines) + 1))
    last = {f"n{number}": size for number, _, size in lines}
    snapshot = place.operation(size="1").backend.read().snapshot
    assert snapshot is not None
    assert {item.attributes["name"]: item.attributes["size"] for item in snapshot.resources.values()} == last
    really = {form["name"]: form["size"] for form in place.recorder.objects().values()}
    assert really == last
    changes = place.recorder.calls("created", "updated")
    assert len(changes) == len(lines)
    counts = {"applies of 20 processes at once, serials consecutive, every change there": len(lines)}
    record_property("kill counts", {where: counts})
