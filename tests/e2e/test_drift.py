"""`dstream drift` as it is typed: exit codes, formats, rules that expire."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.recorder.world import World

RULE = """
dstream {
  drift {
    ignore {
      address    = "rec_planned.a"
      attributes = ["zone"]
      owner      = "ops@example.com"
      expires    = "DAY"
    }
  }
}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(blocks("a", "b"))
    return made


def blocks(*names: str) -> str:
    return "".join(f'resource "rec_planned" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


def test_exit_codes_tell_drift_from_trouble_and_from_what_is_only_pending(world: World) -> None:
    none = dstream(world.folder, "drift")
    assert (none.code, none.out) == (0, "No drift. 2 objects are as applied.\n"), none.said
    world.write(blocks("a", "b", "c"))
    pending = dstream(world.folder, "drift")
    assert pending.code == 0
    assert "pending: + rec_planned.c" in pending.out
    assert "1 pending in the configuration" in pending.out
    world.recorder.put("rec_planned", "a", zone="there")
    changed = dstream(world.folder, "drift")
    assert changed.code == 2
    assert '~ zone = "here" -> "there"' in changed.out
    world.recorder.on("read", "b", fail="denied")
    unreachable = dstream(world.folder, "drift")
    assert unreachable.code == 1
    assert "rec_planned.b could not be refreshed" in unreachable.out
    assert "1 changed, 0 missing, 1 unreachable, 1 pending in the configuration" in unreachable.out


def test_formats_go_to_the_standard_output_alone(world: World) -> None:
    world.recorder.vanish("rec_planned", "a")
    for arguments in (["-json"], ["-format", "json"]):
        ended = dstream(world.folder, "drift", *arguments)
        assert (ended.code, ended.err) == (2, "")
        assert json.loads(ended.out)["summary"]["missing"] == 1
    first = dstream(world.folder, "drift", "-format", "markdown")
    assert first.code == 2
    assert first.out.startswith("### Drift: 0 changed, 1 missing, of 2 objects.\n")
    assert dstream(world.folder, "drift", "-format", "markdown").out == first.out
    wrong = dstream(world.folder, "drift", "-format", "yaml")
    assert wrong.code != 0
    assert "markdown" in wrong.err


def test_a_rule_that_has_expired_is_reported_with_its_owner(world: World) -> None:
    world.recorder.put("rec_planned", "a", zone="there")
    world.write(RULE.replace("DAY", "2999-12-31") + blocks("a", "b"))
    expected = dstream(world.folder, "drift")
    assert expected.code == 0, expected.said
    assert "expected changes of zone (ops@example.com, until 2999-12-31)" in expected.out
    world.write(RULE.replace("DAY", "2020-01-31") + blocks("a", "b"))
    expired = dstream(world.folder, "drift")
    assert expired.code == 2
    assert "expired on 2020-01-31 and is no longer applied; owner: ops@example.com" in expired.out
