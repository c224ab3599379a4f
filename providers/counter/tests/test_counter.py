"""The counting input."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from dstream_sdk.testing import ProviderProcess, check_provider

ARGV = [sys.executable, "-m", "dstream_counter"]


def run(config: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    opening = {"command": "run", "protocol": 2, "role": "input", "config": config, "checkpoint": None, "acks": True}
    with ProviderProcess(ARGV) as provider:
        provider.send({**opening, **more})
        assert provider.read()["status"] == "ready"
        lines = [provider.read()]
        while lines[-1] != {"end": True}:
            lines.append(provider.read())
        assert provider.wait() == 0
    return lines


def counted(lines: list[dict[str, Any]]) -> list[int]:
    return [line["data"]["value"] for line in lines if "data" in line]


def test_it_keeps_the_rules_of_the_protocol() -> None:
    check_provider(ARGV, config={"interval": 1, "max_count": 3}, records=3)


def test_it_counts_to_the_maximum_with_a_checkpoint_after_each_record() -> None:
    lines = run({"interval": "1", "maxCount": "3"})
    assert counted(lines) == [1, 2, 3]
    assert [line["checkpoint"]["value"] for line in lines if "checkpoint" in line] == [1, 2, 3]
    assert lines[0]["metadata"] == {"TableName": "counter", "OperationType": "Insert", "Key": {"value": 1}}


def test_it_counts_on_from_a_checkpoint() -> None:
    assert counted(run({"interval": 1, "max_count": 5}, checkpoint={"source": "counter", "value": 3})) == [4, 5]


def test_a_counter_that_has_reached_its_maximum_ends_at_once() -> None:
    assert run({"max_count": 5}, checkpoint={"source": "counter", "value": 5}) == [{"end": True}]


def test_at_full_speed_no_number_is_left_out() -> None:
    assert counted(run({"interval": 0, "max_count": 2500})) == list(range(1, 2501))


def test_it_stops_at_the_number_of_records_that_was_asked_for() -> None:
    assert counted(run({"interval": 0}, max_records=1500)) == list(range(1, 1501))


def test_a_counter_without_an_end_is_current_at_once() -> None:
    assert run({}, until="current") == [{"end": True}]


def test_a_checkpoint_of_another_input_is_refused() -> None:
    opening = {"command": "run", "protocol": 2, "role": "input", "config": {}, "checkpoint": {"lsn": 1}, "acks": True}
    with ProviderProcess(ARGV) as provider:
        provider.send(opening)
        assert provider.read()["diagnostics"][0]["summary"] == "Checkpoint of another input"


def test_it_runs_in_a_plain_pipe() -> None:
    done = subprocess.run(ARGV, input=b'{"interval":1,"maxCount":2}\n', capture_output=True, check=True, timeout=60)
    assert len(done.stdout.splitlines()) == 2


def test_a_wrong_interval_is_refused_with_its_place() -> None:
    with ProviderProcess(ARGV) as provider:
        provider.send({"command": "run", "protocol": 2, "role": "input", "config": {"interval": -5}, "acks": True})
        answer = provider.read()
        assert answer["diagnostics"][0]["path"] == "config.interval"
        assert "must be at least 0" in answer["diagnostics"][0]["detail"]
