"""PROTOCOL.md, the transcripts and the test kit speak of the same rules."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

from dstream_sdk.testing import kit, read_transcript

ROOT = Path(__file__).resolve().parents[2] / "providers/protocol"
TEXT = (ROOT / "PROTOCOL.md").read_text("utf-8")
RULES = re.findall(r"^\| (R\d+) \| .+\.? \|$", TEXT, re.MULTILINE)
TRANSCRIPTS = [read_transcript(path) for path in sorted((ROOT / "transcripts").glob("*.jsonl"))]


def test_every_rule_has_one_number_and_they_rise() -> None:
    numbers = [int(rule[1:]) for rule in RULES]
    assert len(numbers) > 40
    assert numbers == sorted(set(numbers))


def test_every_rule_that_is_referred_to_exists() -> None:
    named = {rule for transcript in TRANSCRIPTS for rule in transcript.rules}
    named |= set(re.findall(r"\bR\d+\b", inspect.getsource(kit))) | set(re.findall(r"\(R\d+\)", TEXT)) - {""}
    assert {rule.strip("()") for rule in named} <= set(RULES)


def test_every_transcript_is_named_like_its_file_and_shows_a_rule() -> None:
    for path, transcript in zip(sorted((ROOT / "transcripts").glob("*.jsonl")), TRANSCRIPTS, strict=True):
        assert transcript.name == path.stem
        assert transcript.rules
        assert transcript.says.endswith(".")
        assert transcript.host_only or transcript.provider


def test_the_table_of_commands_has_every_command_that_the_schemas_allow() -> None:
    table = TEXT.split("## Which command")[1].split("## Version 1")[0]
    for name, member in (("opening", "command"), ("opening-v1", "command"), ("request", "command")):
        schema = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
        for command in schema["properties"][member]["enum"]:
            assert f"`{command}`" in table
