"""The jsonl input: every whole line once, from where the checkpoint says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dstream_sdk.testing import ProviderProcess, check_provider

ARGV = [str(Path(sys.executable).with_name("dstream-in-jsonl"))]


def start(config: dict[str, Any], **more: Any) -> ProviderProcess:
    opening = {"command": "run", "protocol": 2, "role": "input", "config": config, "checkpoint": None, "acks": True}
    provider = ProviderProcess(ARGV)
    provider.send({**opening, **more})
    return provider


def run(config: dict[str, Any], **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the envelopes that an input emits up to its end, and its last checkpoint."""
    with start(config, **more) as provider:
        assert provider.read()["status"] == "ready"
        lines = [json.loads(line) for line in provider.rest()]
        assert lines[-1] == {"end": True}, provider.stderr()
        assert provider.wait() == 0
    checkpoints = [line["checkpoint"] for line in lines if "checkpoint" in line]
    return [line for line in lines if "data" in line], checkpoints[-1] if checkpoints else None


def refused(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    with start(config, **more) as provider:
        answer = provider.read()
        assert answer["status"] == "error"
        return dict(answer["diagnostics"][0])


def rows(*numbers: int) -> str:
    return "".join(f'{{"data":{{"n":{n}}},"metadata":{{"TableName":"t"}}}}\n' for n in numbers)


def numbers(envelopes: list[dict[str, Any]]) -> list[int]:
    return [each["data"]["n"] for each in envelopes]


def test_it_keeps_the_rules_of_the_protocol(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1, 2, 3))
    check_provider(ARGV, config={"path": str(path)}, records=3)
    check_provider(ARGV, config={"path": str(path), "follow": True}, records=3)


def test_it_continues_where_the_checkpoint_says(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1, 2))
    found, checkpoint = run({"path": str(path)})
    assert numbers(found) == [1, 2]
    with path.open("a") as file:
        file.write(rows(3))
    found, checkpoint = run({"path": str(path)}, checkpoint=checkpoint)
    assert numbers(found) == [3]
    assert run({"path": str(path)}, checkpoint=checkpoint) == ([], None)


def test_bare_objects_become_the_data_of_envelopes(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"name":"Ada"}\n\n{"checkpoint":{},"n":1}\r\n')
    found, _ = run({"path": str(path)})
    assert [each["data"] for each in found] == [{"name": "Ada"}, {"checkpoint": {}, "n": 1}]
    assert found[0]["metadata"] == {"TableName": "people", "OperationType": "Insert"}
    assert run({"path": str(path), "table": "staff"})[0][0]["metadata"]["TableName"] == "staff"


def test_numbers_of_bare_objects_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"price":99.50,"exact":12345678901234567890.123456789}\n')
    with start({"path": str(path)}) as provider:
        (line,) = [each for each in provider.rest() if each.startswith(b'{"data":')]
    assert line.startswith(b'{"data":{"price":99.50,"exact":12345678901234567890.123456789},')


@pytest.mark.parametrize("line", ['{"a":NaN}', '{"a":1e9999999999999999999}', '{"a":' + "[" * 200_000, '{"a":1'])
def test_a_line_that_is_no_json_is_told_with_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a":1}\n' + line + "\n")
    with start({"path": str(path)}) as provider:
        (told,) = json.loads(provider.rest()[-1])["diagnostics"]
        assert (told["summary"], provider.wait()) == ("Not JSON", 1)
        assert f"{path}, byte 8" in told["detail"]


def test_a_line_that_looks_like_a_control_line_never_becomes_one(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1) + '{"end":true}\n' + rows(2))
    with start({"path": str(path)}) as provider:
        lines = provider.rest()
        assert b'{"end":true}\n' not in lines
        assert provider.wait() == 1
        (told,) = json.loads(lines[-1])["diagnostics"]
        assert told["summary"] == "Not an envelope"
        assert f"{path}, byte {len(rows(1))}" in told["detail"]


def test_members_of_envelopes_in_another_order_are_envelopes_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"metadata":{"a":1},"data":{"n":1}}\n{"data": {"n": 2}}\n' + rows(3))
    found, _ = run({"path": str(path)})
    assert numbers(found) == [1, 2, 3]
    assert found[0]["metadata"] == {"a": 1}


def test_a_last_line_without_a_newline_counts_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1, 2).rstrip("\n"))
    assert numbers(run({"path": str(path)})[0]) == [1, 2]
    path.write_text(rows(1) + '{"data":{"n":2')
    found, checkpoint = run({"path": str(path)})
    assert numbers(found) == [1]
    with path.open("a") as file:
        file.write("}}\n")
    assert numbers(run({"path": str(path)}, checkpoint=checkpoint)[0]) == [2]


def test_a_followed_file_is_read_as_it_grows_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1))
    with start({"path": str(path), "follow": "true", "poll_interval": 10}) as provider:
        provider.read()
        assert provider.read()["data"] == {"n": 1}
        assert "checkpoint" in provider.read()
        with path.open("a") as file:
            file.write(rows(2) + rows(3)[:9])
            file.flush()
            assert provider.read()["data"] == {"n": 2}
            assert "checkpoint" in provider.read()
            file.write(rows(3)[9:])
        assert provider.read()["data"] == {"n": 3}
        provider.signal("SIGTERM")
        assert json.loads(provider.rest()[-1]) == {"end": True}


def test_a_rotated_file_is_read_to_its_end_before_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1))
    with start({"path": str(path), "follow": True, "poll_interval": 200}) as provider:
        found = []
        provider.read()
        while len(found) < 4:
            line = provider.read()
            if "checkpoint" in line and found == [1]:
                with path.open("a") as file:
                    file.write(rows(2).rstrip("\n"))
                path.rename(tmp_path / "in.jsonl.1")
                (tmp_path / "new").write_text(rows(3, 4))
                (tmp_path / "new").rename(path)
            if "data" in line:
                found.append(line["data"]["n"])
        assert found == [1, 2, 3, 4]


def test_a_file_that_was_empty_can_be_rotated(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("")
    with start({"path": str(path), "follow": True, "poll_interval": 10}) as provider:
        provider.read()
        (tmp_path / "new").write_text(rows(1))
        (tmp_path / "new").rename(path)
        assert provider.read()["data"] == {"n": 1}


def test_a_file_that_was_replaced_is_not_continued_silently(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1, 2))
    _, checkpoint = run({"path": str(path)})
    path.write_text(rows(3))  # shorter
    assert refused({"path": str(path)}, checkpoint=checkpoint)["summary"] == "Source changed"
    path.write_text(rows(7, 8, 9))  # the same file, but its beginning differs
    diagnostic = refused({"path": str(path)}, checkpoint=checkpoint)
    assert "its beginning has changed" in diagnostic["detail"]
    assert 'on_gap = "snapshot"' in diagnostic["detail"]
    assert numbers(run({"path": str(path), "on_gap": "snapshot"}, checkpoint=checkpoint)[0]) == [7, 8, 9]
    path.rename(tmp_path / "other")
    path.write_text(rows(1, 2, 3))
    assert "replaced by another file" in refused({"path": str(path)}, checkpoint=checkpoint)["detail"]


def test_several_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, number in (("b", 3), ("a", 1), ("c", 5)):
        (tmp_path / f"{name}.jsonl").write_text(rows(number, number + 1))
    found, checkpoint = run({"path": str(tmp_path / "*.jsonl")})
    assert numbers(found) == [1, 2, 3, 4, 5, 6]
    (tmp_path / "aa.jsonl").write_text(rows(7))
    assert numbers(run({"path": str(tmp_path / "*.jsonl")}, checkpoint=checkpoint)[0]) == [7]


def test_max_records_ends_with_a_checkpoint_exactly_there(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(*range(10)))
    found, checkpoint = run({"path": str(path)}, max_records=4)
    assert numbers(found) == [0, 1, 2, 3]
    assert numbers(run({"path": str(path)}, checkpoint=checkpoint)[0]) == [4, 5, 6, 7, 8, 9]


def test_a_large_file_with_long_lines_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"data": {"n": n, "pad": "x" * (n * 37 % 5000)}}, separators=(",", ":")) for n in range(1500)]
    lines.append(json.dumps({"data": {"n": 1500, "pad": "y" * 3_000_000}}, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n")
    found, _ = run({"path": str(path)})
    assert numbers(found) == list(range(1501))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused({"path": str(tmp_path / "none")})["summary"] == "File not found"


def test_a_broken_line_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a":1}\nnot json\n')
    with start({"path": str(path)}) as provider:
        *_, last = provider.rest()
        assert provider.wait() == 1
        assert f"{path}, byte 8" in json.loads(last)["diagnostics"][0]["detail"]


def test_a_checkpoint_of_another_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(rows(1))
    assert refused({"path": str(path)}, checkpoint={"lsn": 5})["summary"] == "Checkpoint of another input"
