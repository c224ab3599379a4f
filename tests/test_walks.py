"""The walks of docs/architecture.md are those that commands take."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.commands import environment
from tests.services.recorder.world import World

ROOT = Path(__file__).resolve().parent.parent
WALK = re.compile(r"<!-- walk: (\w+) -->\n((?:\d+\. .*\n)+)")
OBJECT_AND_TASK = """
resource "rec_planned" "a" {
  name = "a"
}

task "count" {
  input {
    provider = "counter"
    config {
      max_count = 2
      interval  = 0
    }
  }
  output { provider = "console" }
}
"""
IN_PROVIDERS = {"providers/sdk/dstream_sdk/input.py", "providers/sdk/dstream_sdk/output.py"}
"""Executed by the processes at both ends of the pump."""
OF_REJECTED_RECORDS = {"state/dstream_state/dead_letters.py"}
"""Executed when an output rejects a record."""


def executed(folder: Path, *arguments: str) -> set[str]:
    """Run a command, and return the files of this project in which it called a function."""
    report = folder / "report"
    command = [sys.executable, "-m", "tests.traced_command", str(report), "-chdir", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    called = map(Path, report.read_text("utf-8").splitlines())
    return {str(path.relative_to(ROOT)) for path in called if path.is_relative_to(ROOT)}


def test_each_walk_is_the_way_that_its_command_takes(tmp_path: Path) -> None:
    """Every file of a walk is executed by the command that starts it, so a file that no longer takes part has to go."""
    World(tmp_path).write(OBJECT_AND_TASK)
    steps = dict(WALK.findall((ROOT / "docs/architecture.md").read_text("utf-8")))
    walks = {name: set(re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)) for name, text in steps.items()}
    assert walks["plan"] - executed(tmp_path, "plan") == set()
    assert walks["apply"] - executed(tmp_path, "apply", "-auto-approve") == set()
    elsewhere = IN_PROVIDERS | OF_REJECTED_RECORDS
    assert walks["envelope"] - executed(tmp_path, "run", "count") - elsewhere == set()
    assert elsewhere <= walks["envelope"]
