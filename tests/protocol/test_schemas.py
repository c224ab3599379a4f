"""The JSON Schemas of the protocol say what the transcripts show, and what the SDK writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from dstream_sdk.testing import Transcript, read_transcript

ROOT = Path(__file__).resolve().parents[2] / "providers/protocol"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "schemas").glob("*.json"))}
REGISTRY: Registry[Any] = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
)
TRANSCRIPTS = [read_transcript(path) for path in sorted((ROOT / "transcripts").glob("*.jsonl"))]
KINDS = ("checkpoint", "committed", "reject", "end", "schema")


def problems(name: str, line: Any) -> list[str]:
    validator = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    return [f"{name}: {each.json_path}: {each.message}" for each in validator.iter_errors(line)]


def schema_of(line: dict[str, Any], by_host: bool, opening: dict[str, Any] | None) -> str:
    """Return the name of the schema for a line that follows `opening` (None: nothing was said before)."""
    first = next(iter(line))
    if first in KINDS:
        return str(first)
    if first == "stream" and opening and opening["command"] == "run":
        return "new-stream"
    if "data" in line:
        return "envelope"
    plans = opening is not None and opening["command"] == "serve" and opening["role"] != "resource"
    if by_host:
        return "plan-request" if plans else "request" if opening else "opening" if "protocol" in line else "opening-v1"
    if opening is None:
        return "probe"
    if opening.get("protocol") != 2:
        return "lifecycle-v1"
    if "id" in line:
        return "plan-line" if plans else "answer"
    return "plan-line" if opening["command"] == "plan" else "handshake"


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one_and_refers_to_schemas_that_exist(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    problems(name, {})  # resolves every reference that an empty object reaches
    text = json.dumps(SCHEMAS[name])
    for reference in text.split('"$ref": "')[1:]:
        assert reference.split(".json")[0] in SCHEMAS


@pytest.mark.parametrize(
    "transcript", [each for each in TRANSCRIPTS if not each.host_only], ids=lambda transcript: transcript.name
)
def test_what_the_host_says_fits_the_schemas(transcript: Transcript) -> None:
    on_purpose = {"input-refuses-command": "dance", "resource-errors": "dance"}.get(transcript.name)
    opening: dict[str, Any] | None = None
    for step in transcript.steps:
        if step.what == "host" and (on_purpose is None or step.value.get("command") != on_purpose):
            assert problems(schema_of(step.value, True, opening), step.value) == []
            opening = opening or step.value


@pytest.mark.parametrize(
    "transcript", [each for each in TRANSCRIPTS if not each.host_only], ids=lambda transcript: transcript.name
)
def test_what_the_sdk_answers_fits_the_schemas(transcript: Transcript) -> None:
    host = [step.value for step in transcript.steps if step.what == "host"]
    if any(step.what in ("host_signals", "host_text") for step in transcript.steps) or "cancel" in transcript.name:
        pytest.skip("not a conversation that can be held in one go")
    text = "".join(json.dumps(line) + "\n" for line in host).encode()
    reference = Path(__file__).with_name("reference.py")
    argv = [sys.executable, str(reference), str(transcript.provider)]
    env = {"PATH": "/usr/bin:/bin", **transcript.env}
    done = subprocess.run(argv, input=text, capture_output=True, env=env, timeout=60, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines or transcript.name.startswith("v1-output-run")
    opening = host[0] if host else None
    for line in lines:
        assert problems(schema_of(line, False, opening), line) == []


def test_schemas_refuse_what_the_rules_refuse() -> None:
    assert problems("checkpoint", {"checkpoint": {}, "n": 0})
    assert problems("opening", {"command": "schema", "protocol": 2, "role": "input", "config": {}})
    assert problems("opening", {"command": "plan", "protocol": 2, "role": "resource", "config": {}})
    assert problems("plan-request", {"id": 1, "command": "plan", "task": "copy"})
    assert problems("opening-v1", {"command": "run", "protocol": 2, "config": {}})
    assert problems("handshake", {"status": "error", "diagnostics": []})
    assert problems("answer", {"id": 1, "status": "error"})
    assert problems("request", {"id": 1, "command": "init", "type": "thing"})
    assert problems("plan-line", {"status": "deferred", "needs": []})
    for timeouts in ([], {"create": 0}, {"delete": "1h"}, {"update": 31_536_001}):
        assert problems("plan-line", {"resource": {"type": "t", "key": "k", "attributes": {}, "timeouts": timeouts}})
