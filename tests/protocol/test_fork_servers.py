"""Every data provider of the project is a fork server: nothing that it loads starts a thread or opens something."""

import sys
from pathlib import Path

import pytest

from dstream_sdk.testing.forks import ForkServerProcess
from tests.events import PATIENCE

PROGRAMS = sorted(
    path
    for path in Path(sys.executable).parent.glob("dstream-*")
    if path.name.startswith(("dstream-in-", "dstream-out-"))
)


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_each_provider_gets_ready_as_a_fork_server():
    assert len(PROGRAMS) >= 9
    for program in PROGRAMS:
        role = "input" if program.name.startswith("dstream-in-") else "output"
        with ForkServerProcess([str(program)], {}, role, PATIENCE) as server:
            assert server.fork().leads()
