"""The jsonl output: what is acknowledged is in the file, whole lines only, whatever happened before."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dstream_jsonl.writer import file_name
from dstream_sdk.testing import ProviderProcess, check_provider

ARGV = [str(Path(sys.executable).with_name("dstream-out-jsonl"))]


def start(config: dict[str, Any], **env: str) -> ProviderProcess:
    provider = ProviderProcess(ARGV, env=env)
    provider.send({"command": "run", "protocol": 2, "role": "output", "config": config, "acks": True})
    return provider


def row(n: int, table: str | None = None) -> dict[str, Any]:
    return {"data": {"n": n}, "metadata": {"TableName": table} if table else {}}


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["data"]["n"] for line in path.read_text().splitlines()]


def write(config: dict[str, Any], *rows: dict[str, Any]) -> None:
    with start(config) as provider:
        provider.send(*rows, {"checkpoint": {}, "n": 1}, {"end": True})
        assert provider.read()["status"] == "ready"
        assert provider.read() == {"checkpoint": {}, "n": 1}
        assert provider.wait() == 0


def test_it_keeps_the_rules_of_the_protocol(tmp_path: Path) -> None:
    check_provider(ARGV, config={"path": str(tmp_path / "out.jsonl")})
    check_provider(ARGV, config={"path": str(tmp_path / "{table}.jsonl")})


def test_lines_are_appended_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.jsonl"
    write({"path": str(path)}, row(1), row(2))
    write({"file": str(path)}, row(3))
    assert path.read_bytes().splitlines()[0] == b'{"data":{"n":1},"metadata":{}}'
    assert numbers(path) == [1, 2, 3]


def test_half_a_line_that_a_crash_left_is_cut_off_before_more_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"data":{"n":1}}\n{"data":{"n":2' + b"x" * 200_000)
    write({"path": str(path)}, row(2))
    assert numbers(path) == [1, 2]


def test_a_file_that_is_only_half_a_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"data":')
    write({"path": str(path)}, row(1))
    assert numbers(path) == [1]


def test_what_was_acknowledged_survives_a_kill_at_the_worst_moment(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with start({"path": str(path)}, DSTREAM_FAULT="after_sink_before_ack:2") as provider:
        provider.send(row(1), {"checkpoint": {"n": 1}, "n": 1})
        assert [provider.read(), provider.read()][1] == {"checkpoint": {"n": 1}, "n": 1}
        provider.send(row(2), {"checkpoint": {"n": 2}, "n": 2})
        assert provider.rest() == []
        assert provider.wait() == -9
    assert numbers(path) == [1, 2]
    write({"path": str(path)}, row(2), row(3))  # from the last acknowledged checkpoint: 2 comes again
    assert numbers(path) == [1, 2, 2, 3]


def test_half_a_line_at_the_end_of_the_data_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with start({"path": str(path)}) as provider:
        provider.read()
        provider.send(row(1))
        provider.send_text(b'{"data":{"n":2}')
        provider.close()
        assert provider.rest() == []
        provider.wait()
    assert path.read_bytes().endswith(b"\n")
    assert numbers(path) == [1]


def test_each_table_has_its_own_file(tmp_path: Path) -> None:
    rows = [row(1, "orders"), row(2, "sales/eu"), row(3, "orders"), row(4), row(5, "..")]
    write({"path": str(tmp_path / "{table}.jsonl")}, *rows)
    assert numbers(tmp_path / "orders.jsonl") == [1, 3]
    assert numbers(tmp_path / "sales%2Feu.jsonl") == [2]
    assert numbers(tmp_path / "unknown.jsonl") == [4]
    assert numbers(tmp_path / "%2E..jsonl") == [5]


def test_more_tables_than_open_files_are_no_problem(tmp_path: Path) -> None:
    rows = [row(n, f"t{n % 250}") for n in range(500)]
    write({"path": str(tmp_path / "{table}.jsonl")}, *rows)
    assert all(numbers(tmp_path / f"t{n}.jsonl") == [n, n + 250] for n in range(250))


def test_a_name_of_a_table_never_leaves_the_folder() -> None:
    names = ["a/b", "a%2Fb", "..", ".", "../x", "a b", "a\0b", "Ä", "", ".hidden"]
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(found)
    assert not any("/" in name or name.startswith(".") for name in found)


def test_two_tasks_cannot_write_to_one_file_at_the_same_time(tmp_path: Path) -> None:
    path = str(tmp_path / "out.jsonl")
    with start({"path": path}) as first:
        assert first.read()["status"] == "ready"
        with start({"path": path}) as second:
            answer = second.read()
            assert answer["diagnostics"][0]["class"] == "retriable"
            assert "another process writes to it" in answer["diagnostics"][0]["detail"]


def test_a_file_that_cannot_be_opened_is_refused_with_its_path(tmp_path: Path) -> None:
    with start({"path": str(tmp_path)}) as provider:  # a folder
        assert provider.read()["diagnostics"][0]["path"] == "config.path"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_ends_the_session_without_an_acknowledgement() -> None:
    with start({"path": "/dev/full"}) as provider:
        provider.send(row(1), {"checkpoint": {}, "n": 1})
        assert provider.read()["status"] == "ready"
        assert [json.loads(line)["diagnostics"][0]["summary"] for line in provider.rest()] == ["Cannot write file"]
        assert provider.wait() == 1
