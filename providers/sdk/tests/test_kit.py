"""The test kit notices providers that break a rule, and says which."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dstream_sdk.testing import Failed, check_provider

GOOD = """
import json, os, sys
ROLE = "ROLE"
def say(**line): print(json.dumps(line, separators=(",", ":")), flush=True)
def probe():
    say(protocol=2, provider={"name": "x", "version": "1"}, roles=[ROLE], capabilities=["checkpoint"], schema=SCHEMA)
SCHEMA = {"config": {"type": "object", "additionalProperties": False}, "resources": {}}
def plan(): say(resource={"type": "t", "key": "k", "attributes": {}}); say(status="done")
def check(config):
    if config:
        wrong = {"severity": "error", "summary": "Invalid", "class": "invalid", "path": "config.x"}
        say(status="error", diagnostics=[wrong])
        sys.exit(1)
def ready(): say(status="ready", protocol=2)
def emit(acks):
    for n in (1, 2):
        say(data={"n": n}, metadata={})
        if acks: say(checkpoint={"n": n}, n=n)
    if acks: say(end=True)
def take():
    for line in sys.stdin:
        if line.startswith('{"checkpoint":'): sys.stdout.write(line); sys.stdout.flush()
        if line.startswith('{"end":'): return
CHANGE
if os.environ.get("DSTREAM_PROBE"): probe(); sys.exit()
opening = json.loads(sys.stdin.readline())
if opening["command"] == "plan": plan(); sys.exit()
check(opening["config"])
ready()
emit(opening["acks"]) if ROLE == "input" else take()
"""

NEW_STREAM = """
def take():
    for line in sys.stdin:
        if line.startswith('{{"checkpoint":'): sys.stdout.write(line); sys.stdout.flush()
        elif "kit_unnamed" in line: say(stream={{"name": "{name}", "key": ["id"]}}); {more}return
        elif line.startswith('{{"end":'): return
"""
"""An output that creates: it asks for the objects of a table that nobody named."""


PLANS_TIMEOUTS = (
    "def plan(): say(resource={{'type': 't', 'key': 'k', 'attributes': {{}}, 'timeouts': {}}}); say(status='done')"
)


def broken(folder: Path, role: str, change: str) -> list[str]:
    path = folder / "provider.py"
    path.write_text(GOOD.replace('"ROLE"', repr(role)).replace("CHANGE", change))
    return [sys.executable, str(path)]


@pytest.mark.parametrize("role", ["input", "output"])
def test_a_provider_without_an_sdk_that_keeps_the_rules_passes(tmp_path: Path, role: str) -> None:
    check_provider(broken(tmp_path, role, ""), config={}, records=2)


def test_an_input_that_gives_its_objects_timeouts_passes(tmp_path: Path) -> None:
    timeouts = {"create": 7200, "read": 1.5, "update": 60, "delete": 60}
    check_provider(broken(tmp_path, "input", PLANS_TIMEOUTS.format(timeouts)), config={}, records=2)


def test_an_output_that_asks_for_a_new_stream_passes(tmp_path: Path) -> None:
    check_provider(broken(tmp_path, "output", NEW_STREAM.format(name="kit_unnamed", more="")), config={})


@pytest.mark.parametrize(
    ("rule", "role", "change"),
    [
        ("R1", "input", "def probe(): say(hello='world')"),
        ("R1", "input", "def probe(p=probe): p(); p()"),
        ("R7", "input", "def ready(): say(status='almost')"),
        ("R8", "output", "def check(config): pass"),
        ("R11", "input", "def plan(): say(status='error', diagnostics=[])"),
        ("R12", "output", "def plan(): say(resource={'type': 't', 'key': str(os.getpid())}); say(status='done')"),
        (
            "R14",
            "input",
            "def plan(p=plan): [say(resource={'type': 't', 'key': 'k'}) for _ in '12']; say(status='done')",
        ),
        ("R16", "output", PLANS_TIMEOUTS.format({"create": "1h"})),
        ("R16", "input", PLANS_TIMEOUTS.format({"delete": 0})),
        ("R16", "input", PLANS_TIMEOUTS.format({"destroy": 60})),
        ("R20", "input", "def emit(acks): say(status='ready')"),
        ("R21", "input", "def emit(acks): say(checkpoint={'n': 1}, n=2); say(end=True)"),
        ("R24", "input", "def emit(acks, e=emit): e(acks); sys.exit(3)"),
        ("R26", "input", "def emit(acks, e=emit): e(True)"),
        ("R28", "input", "def emit(acks, e=emit): say(end=True)"),
        ("R32", "output", "def take(): sys.stdin.readline(); say(checkpoint={}, n=1)"),
        ("R33", "output", "def take(t=take): t(); sys.exit(1)"),
        ("R34", "output", "def take(t=take): t(); say(checkpoint={}, n=9)"),
        ("R38", "output", NEW_STREAM.format(name="kit_unnamed", more="say(checkpoint={}, n=2); ")),
        ("R38", "output", NEW_STREAM.format(name="another", more="")),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, rule: str, role: str, change: str) -> None:
    # R34 and R33 look alike from outside when the last word comes after a proper end.
    with pytest.raises((Failed, AssertionError), match=f"^{rule}:|^R33:" if rule == "R34" else f"^{rule}:"):
        check_provider(broken(tmp_path, role, change), config={}, records=2)
