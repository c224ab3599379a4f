"""Each test has a world of its own: a folder with a configuration, a state and the recording provider."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.services.recorder.in_process import in_process
from tests.services.recorder.provider import recorder
from tests.services.recorder.recorder import ROLES
from tests.services.recorder.world import World


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty world; its providers are threads, or processes where a test is marked `processes`."""
    made = World(tmp_path)
    if request.node.get_closest_marker("processes"):
        yield made
        return
    with in_process({str(made.recorder.bin / name): partial(recorder, role) for name, role in ROLES.items()}):
        yield made
