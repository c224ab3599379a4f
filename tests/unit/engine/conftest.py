"""Each test has a world of its own: a folder with a configuration, a state and the recording provider."""

from pathlib import Path

import pytest

from tests.services.recorder.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world."""
    return World(tmp_path)
