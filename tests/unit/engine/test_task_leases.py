"""Runners of tasks that an apply disturbs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dstream.engine.apply import task_leases
from dstream.engine.apply.task_leases import PauseOptions, paused_runners
from dstream.plan import Action, Plan, TaskChange
from dstream_state import Holder, StateLocked, open_backend

pytestmark = pytest.mark.processes

REMOVED = Plan(tasks=(TaskChange("task.copy", Action.DELETE),))
RUNNER = """
import signal, sys, threading
from pathlib import Path
from dstream_state import open_backend
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
backend = open_backend("local", {}, root=Path(sys.argv[1]))
with backend.task("copy/a").acquire("run"), backend.task("copy/b").acquire("run"):
    print("runs", flush=True)
    over.wait()
"""


@pytest.fixture
def runner(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "runs\n"
    yield process
    process.kill()
    process.communicate()


def test_one_runner_of_several_flows_is_asked_once(tmp_path: Path, runner: "subprocess.Popen[str]") -> None:
    backend, asked = open_backend("local", {}, root=tmp_path), []

    def stopping(flow: str, holder: Holder) -> None:
        asked.append((flow, holder.pid))

    with paused_runners(backend, REMOVED, {}, PauseOptions("apply", 0, True, stopping), lambda: None) as leases:
        assert sorted(leases) == ["copy/a", "copy/b"]
        assert asked == [("copy/a", runner.pid)]
        assert runner.wait(20) == 0


def test_a_runner_on_another_machine_is_named_and_left_alone(
    tmp_path: Path, runner: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend("local", {}, root=tmp_path)
    monkeypatch.setattr(task_leases, "this_host", lambda: "elsewhere")
    with (
        pytest.raises(StateLocked, match=rf"pid {runner.pid}.*of this machine alone"),
        paused_runners(backend, REMOVED, {}, PauseOptions("apply", 0, stop=True), lambda: None),
    ):
        raise AssertionError("it has the lease of a task that runs")
    os.kill(runner.pid, signal.SIGTERM)
    assert runner.wait(20) == 0
