"""What the state and the folder say of runs is not believed: no other process is signalled, no link is followed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.engine.runs import detached
from dstream.engine.runs.run_files import make_run_folder, read_run_status, run_folder, status_path
from dstream_state import Holder
from dstream_state.processes import send, start_time, this_host
from tests.services.recorder.world import World

pytestmark = pytest.mark.processes


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("force", [False, True])
def test_a_run_without_a_start_time_is_not_stopped(
    world: World, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    world.write(world.task("t"))
    forged = Holder("id", "run", "someone", this_host(), bystander.pid, None, "2026-01-01T00:00:00Z")
    monkeypatch.setattr(detached, "runner_of", lambda operation, flow: forged)
    with pytest.raises(DiagnosticsError, match="Unknown process"):
        detached.stop(world.operation(), "copy", force=force, patience=1)
    assert bystander.poll() is None


@pytest.mark.parametrize("pid", [0, -1, -os.getpid()], ids=["own group", "all", "a group"])
def test_no_group_of_processes_is_signalled(pid: int) -> None:
    assert not send(pid, 1, signal.SIGTERM)
    assert not send(pid, None, signal.SIGTERM)


def test_a_process_that_has_the_pid_of_an_ended_one_is_not_signalled(bystander: subprocess.Popen[bytes]) -> None:
    started = start_time(bystander.pid)
    assert started is not None
    assert not send(bystander.pid, started + 1, signal.SIGKILL)
    assert bystander.poll() is None
    assert send(bystander.pid, started, signal.SIGKILL)
    assert bystander.wait(30) == -signal.SIGKILL


def test_the_folder_of_runs_is_not_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run_folder(tmp_path).parent.mkdir()
    run_folder(tmp_path).symlink_to(elsewhere)
    with pytest.raises(OSError, match="It is a link"):
        make_run_folder(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"pid": 1e999}', '{"flow": "a", "flow": "b"}', "null", "[]"])
def test_a_note_that_makes_no_sense_is_no_note(tmp_path: Path, text: str) -> None:
    make_run_folder(tmp_path)
    status_path(tmp_path, "copy").write_text(text)
    assert read_run_status(tmp_path, "copy") is None
