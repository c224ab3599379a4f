"""Dead letters given again, states that are encrypted, tasks that move: typed as a user types it."""

import json
import stat
from pathlib import Path

from tests.e2e.commands import dstream
from tests.services.shebang import runs

PICKY = """
import pathlib
from dstream_sdk import Output, Provider, main

class Picky(Output[dict]):
    def open(self, config, session):
        self.session = session
        self.file = open("taken.jsonl", "ab")
        self.picky = pathlib.Path("picky").exists()
    def write(self, lines):
        for line in lines:
            if self.picky and b'"value":2' in line.replace(b" ", b""):
                self.session.reject(line, "not to my taste")
            else:
                self.file.write(line.rstrip(b"\\n") + b"\\n")
    def flush(self, checkpoint):
        self.file.flush()

main(Provider("picky", "1.0", output=Picky()))
"""

COUNT = """
task "count" {
  input {
    provider = "counter"
    config {
      interval  = 0
      max_count = 3
    }
  }
  output {
    provider_path = "./picky-output"
  }
}
"""


def values(folder: Path) -> list[int]:
    return [json.loads(line)["data"]["value"] for line in (folder / "taken.jsonl").read_text().splitlines()]


def counting(folder: Path, text: str = COUNT) -> None:
    program = folder / "picky-output"
    (folder / "picky.py").write_text(PICKY)
    program.write_text(runs(folder / "picky.py"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "dstream.hcl").write_text(text)
    applied = dstream(folder, "apply", "-auto-approve")
    assert applied.code == 0, applied.said


def test_a_refused_record_is_kept_and_taken_when_it_is_replayed(tmp_path: Path) -> None:
    counting(tmp_path)
    (tmp_path / "picky").touch()
    ran = dstream(tmp_path, "run", "count")
    assert ran.code == 3, ran.said
    assert "1 dead letter" in ran.said
    assert values(tmp_path) == [1, 3]
    listed = dstream(tmp_path, "dlq", "list", "count")
    assert "not to my taste" in listed.out
    key = listed.out.split()[0]
    assert json.loads(dstream(tmp_path, "dlq", "show", "count", key).out)["data"]["value"] == 2

    again = dstream(tmp_path, "dlq", "replay", "count")
    assert (again.code, again.out) == (1, "0 delivered, 1 rejected again.\n"), again.said
    assert dstream(tmp_path, "dlq", "list", "count").out == listed.out

    (tmp_path / "picky").unlink()
    taken = dstream(tmp_path, "dlq", "replay", "count", key)
    assert (taken.code, taken.out) == (0, "1 delivered, 0 rejected again.\n"), taken.said
    assert values(tmp_path) == [1, 3, 2]
    assert "no dead letters" in dstream(tmp_path, "dlq", "list", "count").out


def test_a_moved_task_keeps_its_checkpoint_and_a_removed_one_loses_it(tmp_path: Path) -> None:
    counting(tmp_path)
    assert dstream(tmp_path, "run", "count").code == 0
    moved = COUNT.replace('"count"', '"tally"') + "moved {\n  from = task.count\n  to   = task.tally\n}\n"
    counting(tmp_path, moved)
    assert '"value": 3' in dstream(tmp_path, "checkpoint", "show", "tally").out
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    gone = dstream(tmp_path, "destroy", "-auto-approve")
    assert gone.code == 0, gone.said
    counting(tmp_path, COUNT.replace('"count"', '"tally"'))
    assert "no checkpoint" in dstream(tmp_path, "checkpoint", "show", "tally").out


def test_an_encrypted_state_holds_no_secret_in_clear_and_needs_its_passphrase(tmp_path: Path) -> None:
    (tmp_path / "dstream.hcl").write_text(
        'dstream {\n  encryption { passphrase = env("PASS") }\n}\n'
        'variable "secret" { sensitive = true }\n'
        'output "told" {\n  value     = var.secret\n  sensitive = true\n}\n'
    )
    right = {"PASS": "a passphrase that is long", "DSTREAM_VAR_secret": "hunter2-planted"}
    applied = dstream(tmp_path, "apply", "-auto-approve", env=right)
    assert applied.code == 0, applied.said
    assert "hunter2" not in applied.said
    assert dstream(tmp_path, "output", "-raw", "told", env=right).out == "hunter2-planted"
    for file in (tmp_path / ".dstream").rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes(), file
    wrong = dstream(tmp_path, "plan", env=right | {"PASS": "another passphrase, as long"})
    assert wrong.code == 1
    assert "State decryption failure" in wrong.err
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env=right).code == 0


def test_a_snapshot_comes_back_from_history_and_from_a_file(tmp_path: Path) -> None:
    counting(tmp_path)
    assert dstream(tmp_path, "state", "pull", "kept.dsstate").code == 0
    assert (tmp_path / "kept.dsstate").stat().st_mode & 0o077 == 0
    assert dstream(tmp_path, "destroy", "-auto-approve").code == 0
    assert "not applied" in dstream(tmp_path, "status").out
    first = dstream(tmp_path, "state", "history").out.splitlines()[-1].split()[0]
    restored = dstream(tmp_path, "state", "restore", "-force", first)
    assert restored.code == 0, restored.said
    assert "task.count: applied" in dstream(tmp_path, "status").out
    missing = dstream(tmp_path, "state", "rm", "task.nope")
    assert missing.code == 1
    assert "task.nope" in missing.err
