"""`dstream run TASK` of a task that was never applied."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Ended, dstream
from tests.services.azure.running import ServiceBus, service_bus

COUNT = """
task "count" {{
  input {{
    provider = "counter"
    config {{
      interval  = 0
      max_count = {to}
    }}
  }}
  output {{
    {output}
  }}
}}
"""
OLDER_OUTPUT = """#!/bin/sh
read -r opening
case "$opening" in
  *'"command":"run"'*) cat ;;
  *) echo "$opening" >>"$0.lifecycle"; echo '{"status":"success","resources":["queue: made"]}' ;;
esac
"""
OLDER_INPUT = """#!/bin/sh
read -r opening
echo "$opening" >>"$0.opened"
echo '{"data":{"n":1}}'
"""


@pytest.fixture(scope="module")
def bus() -> Iterator[ServiceBus]:
    with service_bus() as running:
        yield running


def write(folder: Path, output: str = 'provider = "console"', to: int = 3) -> None:
    folder.joinpath("dstream.hcl").write_text(COUNT.format(output=output, to=to))


def script(folder: Path, name: str, text: str) -> None:
    folder.joinpath(name).write_text(text)
    folder.joinpath(name).chmod(0o755)


def good(folder: Path, *arguments: str) -> Ended:
    ended = dstream(folder, *arguments)
    assert ended.code == 0, ended.said
    return ended


def test_a_task_that_requires_nothing_runs_and_is_recorded(tmp_path: Path) -> None:
    write(tmp_path)
    assert "3 records moved" in good(tmp_path, "run", "count").err
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0
    write(tmp_path, to=4)
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 2
    assert "1 record moved" in good(tmp_path, "run", "count").err
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0, "the run recorded the change"


def test_a_changed_task_that_requires_objects_is_refused_with_what_and_how(tmp_path: Path, bus: ServiceBus) -> None:
    write(tmp_path)
    good(tmp_path, "run", "count")
    write(tmp_path, f'provider = "asb"\nconfig {{\n connection_string = "{bus.connection_string}"\n }}')
    for arguments in (("run", "count"), ("run", "count", "-detach")):
        ended = dstream(tmp_path, *arguments, env=bus.environment)
        assert ended.code == 1
        for said in ("Task changed since apply", "1 to add, 0 to change", "dstream apply count"):
            assert said in ended.said, ended.said
    assert bus.queues == []
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env=bus.environment).code == 2, "and nothing is recorded"


def test_a_task_that_requires_objects_is_refused_with_what_and_how(tmp_path: Path, bus: ServiceBus) -> None:
    write(tmp_path, f'provider = "asb"\nconfig {{\n connection_string = "{bus.connection_string}"\n }}')
    for arguments in (("run", "count"), ("run", "count", "-json")):
        ended = dstream(tmp_path, *arguments, env=bus.environment)
        assert ended.code == 1
        assert "Task not applied" in ended.err
        for said in ("1 to add, 0 to change, 0 to destroy", "counter_cdc_events", "dstream apply count", "-unapplied"):
            assert said in ended.err, ended.err
    assert bus.queues == []
    assert good(tmp_path, "state", "list").out.strip() == ""


def test_a_version_1_pair_runs_without_its_lifecycle(tmp_path: Path) -> None:
    script(tmp_path, "in", OLDER_INPUT)
    script(tmp_path, "out", OLDER_OUTPUT)
    text = COUNT.format(output='provider_path = "./out"', to=3).replace(
        'provider = "counter"', 'provider_path = "./in"'
    )
    tmp_path.joinpath("dstream.hcl").write_text(text)
    assert '{"data":{"n":1}}' in good(tmp_path, "run", "count").out
    assert "command" not in (tmp_path / "out.lifecycle").read_text()
    assert (tmp_path / "in.opened").read_text().count("command") == 1, "the input got one run and nothing else"
    assert '{"data":{"n":1}}' in good(tmp_path, "run", "count").out
    planned = good(tmp_path, "plan").out
    assert "task.count.output.lifecycle" in planned
    good(tmp_path, "apply", "-auto-approve")
    assert 'command":"init"' in (tmp_path / "out.lifecycle").read_text()
    assert dstream(tmp_path, "plan", "-detailed-exitcode").code == 0


def test_of_two_first_runs_one_waits_for_the_other_to_record_the_task(tmp_path: Path) -> None:
    write(tmp_path)
    ended: list[Ended] = []
    runs = [threading.Thread(target=lambda: ended.append(dstream(tmp_path, "run", "count"))) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    # The task itself has one runner: the second may find it running.
    assert 0 in [each.code for each in ended]
    assert all("Task not applied" not in each.said for each in ended)
    found = [json.loads(line) for line in good(tmp_path, "plan", "-json").out.splitlines() if line.startswith("{")]
    assert found[-1]["tasks"][0]["applied"] is True


def test_a_run_of_two_tasks_records_both(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "dstream.hcl"
    path.write_text(path.read_text() + path.read_text().replace('task "count"', 'task "again"'))
    ended = good(tmp_path, "run", "count", "again")
    assert ended.err.count("3 records moved") == 2
