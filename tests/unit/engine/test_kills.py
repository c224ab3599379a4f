"""An engine that is killed, at random moments and at named points: the next apply puts everything right.

Whatever exists is in the state, and nothing is made twice, except that of an object that cannot be asked for what made
it nobody can tell: that one is unresolved until somebody looks.
"""

import random

import pytest

from tests.services.recorder.killing import Killed, Story
from tests.services.recorder.world import World

pytestmark = pytest.mark.processes

STORY = Story.of(1)
POINTS = ["intent", "asked", "answered", "recorded", "finishing", "finished"]
WRITES = ["mid_write", "written"]


@pytest.fixture
def killed(world: World) -> Killed:
    return Killed(world, STORY)


@pytest.mark.parametrize(("point", "passage"), [(point, 1) for point in POINTS] + [("asked", 25), ("recorded", 30)])
def test_an_engine_that_dies_at_a_point_is_put_right_by_the_next(killed: Killed, point: str, passage: int) -> None:
    killed.world.write(STORY.first)
    killed.at_point("apply", point, passage)
    killed.put_right("apply")
    killed.check(60)


@pytest.mark.parametrize("point", ["recovering", "recovered"])
def test_recovery_can_be_killed_too(killed: Killed, point: str) -> None:
    killed.world.write(STORY.first)
    killed.at_point("apply", "asked", 20)
    killed.at_point("apply", point, 2)
    killed.put_right("apply")
    killed.check(60)


@pytest.mark.parametrize("point", WRITES)
@pytest.mark.parametrize("passage", [1, 2, 3, 5, 12])
def test_a_state_that_is_half_written_is_put_right_by_the_next(killed: Killed, point: str, passage: int) -> None:
    killed.world.write(STORY.first)
    killed.at_point("apply", point, passage)
    killed.put_right("apply")
    killed.check(60)


@pytest.mark.parametrize("victims", ["engine", "provider", "both"])
def test_what_dies_at_any_moment_is_put_right_by_the_next(killed: Killed, victims: str) -> None:
    moments = random.Random(victims)
    killed.through(lambda what: killed.at_random(what, moments, victims))
    assert killed.count.found["kills"]
