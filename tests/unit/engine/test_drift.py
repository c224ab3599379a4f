"""Drift by class: changed outside, missing, unreachable, pending; and rules that say what is expected, until when."""

import json
from datetime import date

import pytest

from dstream.cli.render.drift import drift_json, report_lines
from dstream.cli.render.drift_markdown import LIMIT, report_markdown
from dstream.cli.render.paint import Paint
from dstream.engine.commands.validate import lint
from dstream.engine.setup.operation import OperationInputs
from dstream.plan import DriftKind
from tests.services.recorder.world import World, refused, said

DAY = date(2026, 7, 1)


def blocks(*names: str, size: int = 1) -> str:
    return "".join(f'resource "rec_planned" "{name}" {{\n  name = "{name}"\n  size = {size}\n}}\n' for name in names)


def ignore(text: str) -> str:
    return f"dstream {{\n  drift {{\n    ignore {{\n{text}\n    }}\n  }}\n}}\n"


def rule(address: str = "rec_planned.a", expires: str = "2026-07-01", more: str = "") -> str:
    return ignore(f'address = "{address}"\nowner = "ops@example.com"\nexpires = "{expires}"\n{more}')


def text(world: World) -> str:
    return "\n".join(report_lines(world.drift(DAY), Paint(enabled=False)))


def test_each_class_is_told_apart_and_has_its_exit_code(world: World) -> None:
    world.apply(blocks("a", "b", "c"))
    assert world.drift().exit_code == 0
    world.write(blocks("a", "b", "c", size=2) + blocks("new"))
    report = world.drift()
    assert [change.address for change in report.pending.changes] == [
        "rec_planned.a",
        "rec_planned.b",
        "rec_planned.c",
        "rec_planned.new",
    ]
    assert (report.drifts, report.exit_code) == ((), 0)
    world.recorder.put("rec_planned", "a", zone="there")
    world.recorder.vanish("rec_planned", "b")
    report = world.drift()
    assert [(each.address, each.kind) for each in report.drifts] == [
        ("rec_planned.a", DriftKind.CHANGED),
        ("rec_planned.b", DriftKind.MISSING),
    ]
    assert (report.exit_code, len(report.pending)) == (2, 4)
    world.recorder.on("read", "c", fail="denied")
    report = world.drift()
    assert [each.address for each in report.of(DriftKind.UNREACHABLE)] == ["rec_planned.c"]
    assert (report.exit_code, len(report.drifts)) == (1, 3)


def test_pending_is_what_the_configuration_asks_for_whatever_really_exists(world: World) -> None:
    world.apply(blocks("a", "b"))
    world.recorder.vanish("rec_planned", "a")
    world.recorder.put("rec_planned", "b", size=9)
    assert len(world.drift().pending) == 0
    world.write(blocks("a") + 'output "x" {\n  value = "y"\n}\n' + world.task("t"))
    pending = world.drift().pending
    assert "rec_planned.b" in [change.address for change in pending.changes]
    assert [output.name for output in pending.outputs] == ["x"]
    assert [note.address for note in pending.tasks] == ["task.copy"]


def test_each_object_is_asked_about_once_by_one_process(world: World) -> None:
    names = [f"n{number:02}" for number in range(30)]
    world.apply(blocks(*names))
    world.recorder.forget_calls()
    world.drift()
    calls = world.recorder.calls()
    assert sorted(str(call) for call in calls) == [f"read {name}" for name in names]
    assert len({call.more["pid"] for call in calls}) == 1


def test_a_configuration_that_cannot_be_planned_does_not_hide_drift(world: World) -> None:
    world.apply(blocks("a"))
    world.recorder.vanish("rec_planned", "a")
    world.write(blocks("a") + 'resource "rec_planned" "bad" {\n  name = 5 + "x"\n}\n')
    report = world.drift()
    assert [each.kind for each in report.drifts] == [DriftKind.MISSING]
    assert (report.exit_code, bool(report.diagnostics)) == (1, True)
    assert "could not be determined" in report_markdown(report)


def test_a_provider_that_cannot_start_makes_its_objects_unreachable_and_no_others(world: World) -> None:
    world.apply(blocks("a") + world.task("t"))
    world.recorder.vanish("rec_planned", "a")
    (world.recorder.bin / "rec-out").chmod(0o644)
    report = world.drift()
    assert [each.address for each in report.of(DriftKind.MISSING)] == ["rec_planned.a"]
    assert {each.address.partition(".output")[0] for each in report.of(DriftKind.UNREACHABLE)} == {"task.copy"}
    assert report.exit_code == 1


class TestIgnoreRules:
    """Rules of the configuration."""

    @pytest.fixture
    def world(self, world: World) -> World:
        world.apply(blocks("a", "b"))
        return world

    def test_a_rule_hides_the_changes_that_it_names_until_its_day_is_over(self, world: World) -> None:
        world.recorder.put("rec_planned", "a", zone="there")
        world.write(rule(more='attributes = ["zone"]\nreason = "moved by the cloud"') + blocks("a", "b"))
        report = world.drift(DAY)
        assert (report.exit_code, report.drifts) == (0, ())
        assert [(each.address, each.attributes) for each in report.expected] == [("rec_planned.a", ("zone",))]
        assert "expected changes of zone (ops@example.com, until 2026-07-01)" in text(world)
        report = world.drift(date(2026, 7, 2))
        assert (report.exit_code, len(report.expired), report.expected) == (2, 1, ())
        later = "\n".join(report_lines(report, Paint(enabled=False)))
        assert "expired on 2026-07-01 and is no longer applied; owner: ops@example.com" in later

    def test_what_a_rule_does_not_name_still_counts(self, world: World) -> None:
        world.recorder.put("rec_planned", "a", zone="there", size=5)
        world.write(rule(more='attributes = ["zone"]') + blocks("a", "b"))
        report = world.drift(DAY)
        assert report.exit_code == 2
        assert [(each.before or {})["size"] for each in report.drifts] == [1]
        assert (report.drifts[0].after or {})["zone"] == "here"
        assert report.expected[0].attributes == ("zone",)

    def test_a_rule_may_name_what_is_inside_of_an_attribute(self, world: World) -> None:
        world.apply(blocks("b") + 'resource "rec_planned" "a" {\n  name = "a"\n  labels = { x = "1", y = "2" }\n}\n')
        world.write(
            rule(more='attributes = ["labels.x", "labels.z"]')
            + blocks("b")
            + 'resource "rec_planned" "a" {\n  name = "a"\n  labels = { x = "1", y = "2" }\n}\n'
        )
        world.recorder.put("rec_planned", "a", labels={"x": "9", "y": "2", "z": "new"})
        assert world.drift(DAY).exit_code == 0
        world.recorder.put("rec_planned", "a", labels={"x": "9", "y": "3"})
        assert world.drift(DAY).exit_code == 2
        world.recorder.put("rec_planned", "a", labels=None)
        assert world.drift(DAY).exit_code == 2

    def test_a_rule_without_attributes_hides_all_changes_but_never_that_it_is_missing(self, world: World) -> None:
        world.write(rule("rec_planned.*") + blocks("a", "b"))
        world.recorder.put("rec_planned", "a", zone="there", size=5)
        assert world.drift(DAY).exit_code == 0
        world.recorder.vanish("rec_planned", "b")
        report = world.drift(DAY)
        assert ([each.kind for each in report.drifts], report.exit_code) == ([DriftKind.MISSING], 2)
        world.recorder.on("read", "a", fail="denied")
        assert world.drift(DAY).exit_code == 1

    @pytest.mark.parametrize(
        ("pattern", "covered"),
        [
            ("task.copy", True),
            ("task.copy.output", True),
            ('task.copy.output.rec_planned["t"]', True),
            ("task.*.rec_planned", True),
            ("*", True),
            ("task.cop", False),
            ("task.copy.output.rec_plan", False),
            ("rec_planned*", False),
        ],
    )
    def test_addresses_and_patterns(self, world: World, pattern: str, covered: bool) -> None:
        world.apply(world.task("t"))
        world.recorder.put("rec_planned", "part-t", zone="there")
        quoted = pattern.replace('"', '\\"')
        world.write(rule(quoted) + world.task("t"))
        report = world.drift(DAY)
        assert report.exit_code == (0 if covered else 2)
        assert bool(report.unused) is not covered

    @pytest.mark.parametrize(
        ("inner", "says"),
        [
            ('owner = "o"\nexpires = "2026-01-01"', "Address is a text"),
            ('address = "a.b"\nexpires = "2026-01-01"', "Owner says who answers for it"),
            ('address = "a.b"\nowner = "o"', "last day that it holds"),
            ('address = "a.b"\nowner = "o"\nexpires = "tomorrow"', "last day that it holds"),
            ('address = "a.b"\nowner = "o"\nexpires = "2026-01-01"\nattributes = []', "list of names"),
            ('address = "a.b"\nowner = "o"\nexpires = "2026-01-01"\nwhy = "x"', "no argument why"),
            ('address = "a.b"\nowner = local.me\nexpires = "2026-01-01"', "plain values"),
        ],
    )
    def test_mistakes_are_named_by_drift_and_by_lint(self, world: World, inner: str, says: str) -> None:
        world.write(ignore(inner) + 'locals {\n  me = "o"\n}\n' + blocks("a", "b"))
        found = refused(world.drift)
        assert says in said(found)
        assert found[0].subject is not None
        assert says in said(lint(OperationInputs(config=world.folder)).diagnostics)


def test_the_report_as_json_and_markdown(world: World) -> None:
    world.apply(blocks("a", "b", "c"))
    world.recorder.put("rec_planned", "a", zone="```\n# not a title")
    world.recorder.vanish("rec_planned", "c")
    world.write(rule("rec_planned.nothing") + blocks("a", "b", "c", "d"))
    report = world.drift(DAY)
    form = json.loads(json.dumps(drift_json(report)))
    assert form["summary"] == {
        "asked": 3,
        "changed": 1,
        "missing": 1,
        "unreachable": 0,
        "expected": 0,
        "pending": 1,
        "expired_rules": 0,
    }
    assert (form["exit_code"], form["pending"]["resources"][0]["actions"]) == (2, ["create"])
    shown = report_markdown(report)
    assert shown == report_markdown(world.drift(DAY))
    assert shown.index("Missing: 1") < shown.index("Changed outside: 1") < shown.index("Pending in the configuration")
    assert "````diff" in shown and "- `+ rec_planned.d`" in shown


def test_a_long_report_as_markdown_fits_and_counts_what_was_cut(world: World) -> None:
    names = [f"n{number:03}" for number in range(120)]
    world.apply(blocks(*names))
    for name in names:
        world.recorder.put("rec_planned", name, zone="x" * 1000)
    shown = report_markdown(world.drift())
    assert 50_000 < len(shown) <= LIMIT
    assert shown.rstrip().endswith("entries are not shown; run `dstream drift` to see all._")
