"""Runs in the background: started, looked at, stopped, killed."""

import json
import os
import re
import signal

import pytest

from tests.e2e.commands import dstream
from tests.events import until

CONFIG = """
task "count" {
  input {
    provider = "counter"
    config {
      interval  = 20
      max_count = MAX
    }
  }
  output {
    provider = "console"
  }
}
"""


@pytest.fixture
def folder(tmp_path):
    """A configuration with an endless task, applied; whatever still runs at the end is killed."""
    write(tmp_path, 0)
    assert dstream(tmp_path, "apply", "-auto-approve").code == 0
    yield tmp_path
    dstream(tmp_path, "stop", "count", "-force")


def write(folder, most):
    (folder / "dstream.hcl").write_text(CONFIG.replace("MAX", str(most)))


def pid_of(said: str) -> int:
    match = re.search(r"pid (\d+)", said)
    assert match, said
    return int(match[1])


def test_a_task_runs_in_the_background_until_it_is_stopped(folder):
    started = dstream(folder, "run", "count", "-detach")
    assert started.code == 0, started.said
    assert "running in the background" in started.out
    until(lambda: '{"value": 5' in dstream(folder, "logs", "count").out, "the log shows records")
    assert len(dstream(folder, "logs", "count", "-n", "2").out.splitlines()) == 2
    until(lambda: "last checkpoint" in dstream(folder, "status", "-detailed").out, "a checkpoint")
    shown = dstream(folder, "status", "-detailed").out
    assert re.search(r"task\.count: running", shown)
    assert re.search(r"running, up \d+s.*, 0 restarts", shown)
    assert re.search(r"\d+ records \(\d+ B\), \d+ records/s", shown)
    assert re.search(r"input name counter, sha256:\w+", shown)
    assert re.search(r"process pid \d+ on .*, [\d.]+ MiB", shown)
    again = dstream(folder, "run", "count", "-detach")
    assert again.code == 1
    assert "is already running" in again.said
    stopped = dstream(folder, "stop", "count")
    assert (stopped.code, stopped.out) == (0, "count: stopped\n")
    assert "count: not running" in dstream(folder, "stop", "count").out
    assert "stopped, started" in dstream(folder, "status", "-detailed").out
    followed = dstream(folder, "logs", "count", "-follow")  # ends, since nothing runs
    assert "count: stopped" in followed.out
    form = json.loads(dstream(folder, "status", "-json").out)
    assert form["tasks"][0]["flows"][0]["note"]["state"] == "stopped"


def test_a_killed_run_is_told_from_a_stopped_one_and_its_providers_are_gone(folder):
    pid = pid_of(dstream(folder, "run", "count", "-detach").out)
    os.kill(pid, signal.SIGKILL)
    until(lambda: "running" not in dstream(folder, "status").out, "the task does not run")
    assert "was killed, started" in dstream(folder, "status", "-detailed").out
    assert dstream(folder, "run", "count", "-detach").code == 0
    assert (folder / ".dstream" / "run" / "count.log.1").exists()
    assert dstream(folder, "logs", "count", "-previous").code == 0
    forced = dstream(folder, "stop", "count", "-force")
    assert forced.out == "count: stopped\n"


def test_what_fails_at_once_is_said_at_once(tmp_path):
    write(tmp_path, 3)
    assert dstream(tmp_path, "apply", "-auto-approve").code == 0
    write(tmp_path, -4)
    changed = dstream(tmp_path, "run", "count", "-detach")
    assert changed.code == 1
    assert "ended with exit code 1" in changed.said
    assert "max_count" in changed.said
    write(tmp_path, 4)
    ended = dstream(tmp_path, "run", "count", "-detach", "-unapplied")
    assert ended.code == 0, ended.said
    assert "No log of" not in dstream(tmp_path, "logs", "count").said
    missing = dstream(tmp_path, "logs", "nothing")
    assert missing.code == 1
    assert "no task" in missing.said
    asking = dstream(tmp_path, "run", "count", "-detach", "-apply")
    assert "A background run cannot prompt" in asking.said


def test_an_apply_that_takes_away_what_a_running_task_needs_stops_it_only_when_told_to(folder):
    pid = pid_of(dstream(folder, "run", "count", "-detach").out)
    until(lambda: "checkpoint of" in dstream(folder, "status").out, "a checkpoint")
    refused = dstream(folder, "destroy", "-auto-approve")
    assert refused.code == 1
    assert f"pid {pid}" in refused.err and "-stop-tasks" in refused.err
    assert "running" in dstream(folder, "status").out
    removed = dstream(folder, "destroy", "-auto-approve", "-stop-tasks")
    assert removed.code == 0, removed.said
    assert f"Stopping the run of count (pid {pid})" in removed.out
    assert "stopped" in dstream(folder, "logs", "count").out  # gracefully, not killed
    found = [json.loads(line) for line in dstream(folder, "plan", "-json").out.splitlines()]
    assert found[-1]["tasks"][0]["applied"] is False
