"""What a plan reports of files: what is left to read, and that a file is not the one of the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dstream_jsonl.reader
import dstream_jsonl.writer
from dstream_jsonl.position import Position
from dstream_sdk import Finding, PlanContext, Prior


def assessed(path: Path, checkpoint: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    """What the input reports."""
    prior = Prior() if checkpoint is None else Prior(True, checkpoint, 1800)
    settings = dstream_jsonl.reader.Settings(path=str(path), **more)
    return list(dstream_jsonl.reader.Reader().consequences(settings, PlanContext("t", assessed=True, prior=prior)))


def checkpoint_of(path: Path, offset: int) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"source": "jsonl", "files": {str(path): Position.of(file.fileno(), offset).to_json()}}


def test_what_is_left_of_a_file_is_read_and_another_file_is_read_again_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"n": 1}) + "\n" + json.dumps({"n": 2}) + "\n")
    (first,) = assessed(path)
    assert (first.kind, first.bytes) == ("snapshot", 18)
    checkpoint = checkpoint_of(path, 9)
    (resume,) = assessed(path, checkpoint)
    assert (resume.kind, resume.bytes, resume.hours) == ("resume", 9, 0.5)
    path.write_text("{}\n")
    (refused,) = assessed(path, checkpoint)
    assert isinstance(refused, Finding)
    assert (refused.summary, refused.certain) == ("Source changed", False)
    (again,) = assessed(path, checkpoint, on_gap="snapshot")
    assert (again.kind, again.label) == ("reread", "breaking")


def test_a_file_that_is_missing_and_a_folder_that_is_none_are_warnings(tmp_path: Path) -> None:
    (found,) = assessed(tmp_path / "none.jsonl")
    assert (found.summary, found.certain) == ("File not found", False)
    assert assessed(tmp_path / "none.jsonl", follow=True) == []
    (tmp_path / "file").write_text("")

    def written(path: str) -> list[Any]:
        settings = dstream_jsonl.writer.Settings(path=str(tmp_path / path))
        return list(dstream_jsonl.writer.Writer().consequences(settings, PlanContext("t", assessed=True)))

    assert written("out.jsonl") == written("new/folder/{table}.jsonl") == written("{table}/x.jsonl") == []
    for path in ("file/out.jsonl", "file/{table}.jsonl"):
        assert [each.summary for each in written(path)] == ["Folder not writable"]
