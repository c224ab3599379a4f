"""What `dstream run` reports: what was moved, which task failed, dead letters, and servers that are not up yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import Ended, dstream
from tests.services.shebang import shebang

HEAD = """{shebang}import json, os, sys
def say(line):
    sys.stdout.write(line + "\\n"); sys.stdout.flush()
if os.environ.get("DSTREAM_PROBE"):
    say(json.dumps({{"protocol": 2, "provider": {{"name": "p", "version": "1"}}, "roles": ["input", "output"],
                    "capabilities": ["checkpoint", "discovers"]}}))
    sys.exit()
opening = json.loads(sys.stdin.readline())
config = opening["config"]
"""
SOURCE = """
if opening["command"] == "plan":
    starts = config.get("starts")
    if starts:
        with open(starts, "a") as file: file.write("+")
        if os.path.getsize(starts) < 3:
            say('{"status":"error","diagnostics":[{"summary":"Server is down","class":"retriable"}]}'); sys.exit()
    if config.get("wrong"):
        say('{"status":"error","diagnostics":[{"summary":"Wrong","class":"invalid"}]}'); sys.exit()
    say('{"status":"done"}'); sys.exit()
say('{"status":"ready"}')
for number in range(1, 4):
    say(json.dumps({"data": {"number": number, "text": "x" * config.get("size", 1)}}, separators=(",", ":")))
say('{"checkpoint":{"number":3},"n":1}'); say('{"end":true}')
"""
SINK = """
if opening["command"] == "plan":
    say('{"status":"done"}'); sys.exit()
say('{"status":"ready"}')
for line in sys.stdin:
    if line.startswith('{"end"'): sys.exit()
    if config.get("broken") and line.startswith('{"data"'):
        say('{"status":"error","diagnostics":[{"summary":"No such table","class":"invalid"}]}'); sys.exit(1)
    if not line.startswith('{"data"'): say(line.strip())
    elif config.get("rejects"): say('{"reject":{"envelope":%s,"reason":"no"}}' % line.strip())
"""
TASK = """
task "{name}" {{
{more}
  input {{
    provider_path = "./source"
    config {{
      size = 1
{source}
    }}
  }}
  output {{
    provider_path = "./sink"
    config {{
      size = 1
{sink}
    }}
  }}
}}
"""


def task(name: str = "copy", *, more: str = "", source: str = "", sink: str = "") -> str:
    return TASK.format(name=name, more=more, source=source, sink=sink)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in (("source", SOURCE), ("sink", SINK)):
        (tmp_path / name).write_text(HEAD.format(shebang=shebang()) + body)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def run(folder: Path, text: str, *arguments: str) -> Ended:
    (folder / "dstream.hcl").write_text(text)
    return dstream(folder, "run", "-unapplied", *arguments)


def test_what_is_stored_counts_as_moved(folder: Path) -> None:
    done = run(folder, task())
    assert done.code == 0, done.said
    assert "copy: ended, 3 records moved\n" in done.err


def test_records_that_were_sent_and_not_stored_do_not_count_as_moved(folder: Path) -> None:
    done = run(folder, task(sink="broken = true"))
    assert done.code == 1
    assert "copy: failed, 0 records moved" in done.err
    assert "Reported by the output" in done.err


def test_with_several_tasks_each_error_names_its_task(folder: Path) -> None:
    done = run(folder, task("good") + task("bad", sink="broken = true") + task("worse", sink="broken = true"),
               "good", "bad", "worse")  # fmt: skip
    assert done.code == 1
    assert "good: ended, 3 records moved" in done.err
    assert "task.bad" in done.err and "task.worse" in done.err and "task.good" not in done.err


@pytest.mark.parametrize(
    ("accepted", "code", "status"),
    [("", 3, "ended"), ("max_dead_letters = 3", 0, "ended"), ("max_dead_letters = 1", 3, "failed")],
)  # fmt: skip
def test_dead_letters_have_an_exit_code_and_a_limit(folder: Path, accepted: str, code: int, status: str) -> None:
    done = run(folder, task(more=accepted, sink="rejects = true"), "-json")
    assert done.code == code, done.said
    outcome = json.loads(done.err.splitlines()[-1])
    assert (outcome["status"], outcome["dead_letters"] > 1) == (status, True)
    assert [each["summary"] for each in outcome["diagnostics"]] == ["Too many dead letters"] * (status == "failed")
    text = run(folder, task(more=accepted, sink="rejects = true"))
    assert "3 dead letters" in text.err


@pytest.mark.parametrize(("limit", "letters"), [('"2 KiB"', 3), ("5000", 0)])
def test_a_task_says_how_long_a_record_may_be(folder: Path, limit: str, letters: int) -> None:
    done = run(folder, task(more=f"record_limit = {limit}\nmax_dead_letters = 9").replace("size = 1", "size = 3000"))
    assert done.code == 0, done.said
    assert ("3 dead letters" in done.err) is (letters == 3)
    assert ("dstream dlq show copy" in done.err) is (letters == 3)


@pytest.mark.parametrize(
    "wrong", ['record_limit = "many"', "record_limit = 0", 'record_limit = "9999 MiB"', "max_dead_letters = -1",
              "max_dead_letters = 1.5", "record_limit = true"],
)  # fmt: skip
def test_limits_that_are_none_are_reported_before_anything_starts(folder: Path, wrong: str) -> None:
    (folder / "dstream.hcl").write_text(task(more=f"  {wrong}"))
    for command in (("lint",), ("run", "-unapplied")):
        done = dstream(folder, *command)
        assert done.code == 1
        assert "Invalid run limit" in done.said and wrong.split()[0] in done.said


def test_a_server_that_is_down_at_the_start_is_waited_for(folder: Path) -> None:
    done = run(folder, task(source=f'starts = "{folder / "starts"}"'))
    assert done.code == 0, done.said
    assert done.err.count("Server is down") == 2
    assert "trying again in 1s" in done.err and "3 records moved" in done.err


def test_what_another_try_would_not_change_ends_the_run(folder: Path) -> None:
    done = run(folder, task(source="wrong = true"))
    assert done.code == 1
    assert "trying again" not in done.err
