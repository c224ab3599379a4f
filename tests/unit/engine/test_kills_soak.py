"""Hundreds of kills over 200 objects, with the state on this machine and in Blob Storage: `make soak`.

The lock of a killed engine is free at once where the state is local. In Blob Storage its lease has to end: the
service's clock is put forward by the 60 s of a lease, and the next apply may wait for the 15 s that are left of 75.
"""

import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from dstream_state import open_backend
from tests.services.azurite import Azurite
from tests.services.recorder.killing import Killed, Story
from tests.services.recorder.world import World

pytestmark = [pytest.mark.soak, pytest.mark.processes, pytest.mark.timeout(1200)]

STORY = Story.of(200 / 60)
POINTS = ["intent", "asked", "answered", "recorded", "finishing", "finished"]
PLACES = ["local", "azurerm"]
AZURE = """dstream {{
  backend "azurerm" {{
    container_name = "{container}"
    key            = "soak"
  }}
}}
"""


@pytest.fixture
def killed(
    request: pytest.FixtureRequest, place: str, world: World, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> Iterator[Killed]:
    """A world whose state is at the place; what was done to it is counted there."""
    made = Killed(world, STORY)
    if place == "azurerm":
        azurite: Azurite = request.getfixturevalue("azurite")
        container = f"soak{uuid.uuid4().hex[:20]}"
        settings = {"connection_string": azurite.connection_string, "container_name": container, "key": "soak"}
        open_backend("azurerm", settings, root=world.folder).prepare()
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
        world.backend = AZURE.format(container=container)
        made = Killed(world, STORY, travel=azurite.travel)
    yield made
    record_property("kill counts", {place: dict(made.count.found)})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("victims", ["engine", "provider", "both"])
@pytest.mark.parametrize("seed", range(12))
def test_what_dies_often_is_put_right_in_the_end(killed: Killed, victims: str, seed: int) -> None:
    moments = random.Random(f"{victims} {seed}")

    def several(what: str) -> None:
        for _ in range(moments.randrange(1, 4)):
            killed.at_random(what, moments, victims)

    killed.through(several)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("passage", [1, 11, 60])
def test_an_engine_that_dies_at_a_point_of_each_operation_is_put_right(
    killed: Killed, point: str, passage: int
) -> None:
    killed.through(lambda what: killed.at_point(what, point, 1 if point.startswith("finish") else passage))


@pytest.mark.parametrize(
    ("place", "point"),
    [("local", "mid_write"), ("local", "written"), ("azurerm", "mid_request"), ("azurerm", "unanswered")],
)
@pytest.mark.parametrize("passage", [1, 2, 3, 4, 7, 20])
def test_an_engine_that_dies_in_a_write_is_put_right(killed: Killed, point: str, passage: int) -> None:
    killed.through(lambda what: killed.at_point(what, point, passage, surely=False))


@pytest.mark.parametrize(
    ("place", "point"),
    [("local", "mid_state"), ("local", "state_written"), ("azurerm", "mid_state"), ("azurerm", "state_unanswered")],
)
@pytest.mark.parametrize("passage", [1, 2])
def test_an_engine_that_dies_while_it_writes_the_state_is_put_right(killed: Killed, point: str, passage: int) -> None:
    killed.through(lambda what: killed.at_point(what, point, passage, surely=passage == 1))
