"""What a plan reports of the data: from dstream, from the providers of a task, and of objects that are destroyed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import dstream_sdk as sdk
from dstream.cli.main import _run
from dstream.cli.render.concise import concise_lines
from dstream.cli.render.document import plan_document
from dstream.cli.render.markdown import markdown
from dstream.cli.render.paint import Paint
from dstream.consequences import Label
from dstream.diagnostics import Severity
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.task_records import TaskRecords
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.refresh.prior_state import PriorState
from dstream.engine.setup.untrusted import Untrusted
from dstream.plan import Plan
from dstream.plan.reading import plan_from_json
from dstream_state import Snapshot, StateDamaged
from dstream_state.codec import dumps, loads
from dstream_state.task_store import StoredTask
from tests.events import PATIENCE
from tests.unit.engine.reporting_tasks import Tasks, only, tasks, text_of

__all__ = ["tasks"]
ROOT = Path(__file__).resolve().parents[3]


def test_what_a_provider_reports_is_in_each_form_of_the_plan_with_breaking_ones_on_top(tasks: Tasks) -> None:
    tasks.source.reports = lambda _config, _context: [
        sdk.Consequence("snapshot", "orders is read", rows=1200, bytes=3_400_000, stream="orders"),
        sdk.Consequence("moonshine", "the moon is full", "breaking", "twice a month", hours=3.25, fix="wait"),
        sdk.Consequence("schema", "a column is new", "forward-only"),
    ]
    plan = tasks.change(tasks.text())
    text = text_of(plan)
    top = text.index(
        "Breaking consequences:\n\n  ! task.copy: the moon is full (3.2 h)\n      twice a month\n      Fix: wait"
    )
    assert top < text.index("dstream will perform") < text.index("  # task.copy will be created")
    assert "  # breaking, moonshine: the moon is full (3.2 h)\n  # forward-only, schema: a column is new" in text
    assert "  # non-breaking, snapshot: orders is read (1,200 rows, 3.4 MB)" in text
    assert text.endswith("Tasks: 1 to add. Consequences: 1 breaking, 1 forward-only, 1 non-breaking.")
    shown = markdown(plan_document(plan))
    assert shown.index("#### Breaking consequences: 1") < shown.index("#### Create")
    assert "the moon is full (3.2 h)" in shown and "orders is read (1,200 rows, 3.4 MB)" in shown
    assert "\n".join(concise_lines(plan, Paint(enabled=False))).startswith("  ! task.copy: the moon is full")
    form = loads(dumps(plan.to_json()), "plan")
    assert form["summary"]["consequences"] == {"breaking": 1, "forward-only": 1, "non-breaking": 1}
    (task,) = form["task_changes"]
    assert task["consequences"][0] == {
        "kind": "moonshine", "label": "breaking", "summary": "the moon is full", "detail": "twice a month",
        "stream": None, "source": "task.copy.input", "numbers": {"hours": 3.25}, "fix": "wait",
    }  # fmt: skip
    again = plan_from_json(form)
    assert again.tasks[0].consequences == plan.tasks[0].consequences
    assert text_of(again) == text
    for each in (*form["task_changes"], *form["resource_changes"]):
        del each["consequences"]
    assert only(plan_from_json(form)).consequences == ()  # a plan of an earlier version


def test_a_provider_is_given_checkpoint_and_settings_of_the_applied_task_without_its_secrets(tasks: Tasks) -> None:
    tasks.apply(tasks.text())
    assert tasks.source.seen == [sdk.Prior()]
    tasks.store("copy", {"n": 7})
    tasks.change(tasks.text(rows=2))
    prior = tasks.source.seen[-1]
    assert (prior.applied, prior.checkpoint, prior.config) == (True, {"n": 7}, {"rows": 1})
    assert prior.streams == ("orders",)
    assert prior.checkpoint_age is not None and prior.checkpoint_age < 600
    moved = "moved {\n  from = task.copy\n  to   = task.other\n}\n"
    plan = tasks.change(tasks.text(name="other") + moved)
    assert tasks.source.seen[-1].checkpoint == {"n": 7}
    assert any(each.kind == "resume" and "of task.copy" in each.text for each in only(plan).consequences)
    tasks.change(tasks.text(input="other"))
    assert tasks.source.seen[-1].checkpoint is None
    assert tasks.source.seen[-1].applied


def test_dstream_itself_reports_what_becomes_of_checkpoint_streams_and_the_running_task(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kinds(plan: Plan) -> list[tuple[str, str, Label]]:
        return [(each.kind, each.text, each.label) for each in only(plan).consequences]

    tasks.apply(tasks.text())
    assert kinds(tasks.change(tasks.text(rows=2))) == []  # it never ran
    tasks.store("copy", {"n": 7})
    assert kinds(tasks.change(tasks.text())) == []  # nothing changes
    found = kinds(tasks.change(tasks.text(rows=2)))
    assert [kind for kind, _, _ in found] == ["resume", "duplicate"]
    assert found[1][1] == "what was delivered after the last stored checkpoint is delivered again"
    tasks.source.streams = ["orders", "people"]
    assert ("streams", "people is delivered from the next run on", Label.NON_BREAKING) in kinds(tasks.plan())
    tasks.source.streams = ["people"]
    assert ("streams", "orders is no longer delivered", Label.FORWARD_ONLY) in kinds(tasks.plan())
    replaced = kinds(tasks.change(tasks.text(input="other")))
    assert replaced[0] == ("reread", "the task starts over from the beginning of its source", Label.BREAKING)
    assert kinds(tasks.change("")) == [("resume", "no more data is delivered", Label.FORWARD_ONLY)]
    tasks.write(tasks.text(rows=2))
    view = tasks.operation().backend.task("copy").read()
    assert view.holder is not None
    held = replace(view.holder, host="elsewhere", released=False)
    monkeypatch.setattr(StoredTask, "read", lambda _self: replace(view, holder=held))
    tasks.source.streams = ["orders"]
    restart = only(tasks.plan()).consequences[0]
    assert (restart.kind, restart.fix) == ("restart", "dstream stop copy, then dstream run copy")
    assert [each.running for each in tasks.source.seen[-2:]] == [False, True]


def test_a_saved_plan_keeps_what_was_reported_and_is_not_stale_when_it_would_be_another_thing_now(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks.apply(tasks.text())
    tasks.source.reports = lambda _config, _context: [sdk.Consequence("retention", "the log ends", hours=2.5)]
    tasks.write(tasks.text(rows=2))
    monkeypatch.chdir(tasks.folder)
    assert _run(["plan", "-out=p.plan"]) == 0
    tasks.store("copy", {"n": 7})  # since then it has run
    tasks.source.reports = lambda _config, _context: [sdk.Finding("Not allowed")]
    asked = len(tasks.source.seen)
    capsys.readouterr()
    assert _run(["show", "p.plan"]) == 0
    assert "retention: the log ends (2.5 h left)" in capsys.readouterr().out
    assert _run(["apply", "p.plan", "-allow-data-loss"]) == 0
    assert len(tasks.source.seen) == asked


def test_a_checkpoint_that_cannot_be_read_is_a_warning(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_self: Any) -> Any:
        raise StateDamaged("The checkpoint of task copy", "it is not JSON")

    tasks.apply(tasks.text())
    monkeypatch.setattr(StoredTask, "read", damaged)
    plan = tasks.change(tasks.text(rows=2))
    assert [each.error_code for each in plan.diagnostics] == ["DS2046"]
    assert tasks.source.seen[-1].checkpoint is None


def test_a_configuration_that_is_not_trusted_has_no_server_asked(tasks: Tasks) -> None:
    tasks.write(tasks.text())
    operation = tasks.operation()
    prior = PriorState(Snapshot.new("l"), operation.config, moves=False)
    operation.untrusted = Untrusted()
    records = TaskRecords(operation, prior, ProviderPool(operation), PlanOptions())
    assert records.unassessed == "the configuration is not trusted"


def test_what_a_provider_reports_of_a_kind_replaces_what_dstream_has_to_say(tasks: Tasks) -> None:
    tasks.apply(tasks.text())
    tasks.store("copy", {"n": 7})
    tasks.source.reports = lambda _config, context: [
        sdk.Consequence("resume", f"continues after record {context.prior.checkpoint['n']}")
    ]
    found = only(tasks.change(tasks.text(rows=2))).consequences
    assert [each.text for each in found if each.kind == "resume"] == ["continues after record 7"]


def test_all_findings_are_reported_together_at_their_place_with_the_fix(tasks: Tasks) -> None:
    tasks.source.reports = lambda _config, _context: [
        sdk.Finding("Rows missing", "there are none", "INSERT some", path="config.rows"),
        sdk.Finding("Not allowed", "the role may not read", "GRANT SELECT"),
        sdk.Finding("Slow", "it is slow", certain=False),
    ]
    tasks.write(tasks.text())
    first, second, third = sorted(tasks.refused(), key=lambda each: each.severity)
    assert (first.summary, first.detail) == ("Rows missing", "there are none\nFix: INSERT some")
    lines = (tasks.folder / "dstream.hcl").read_text().splitlines()
    assert first.subject is not None and "rows = 1" in lines[first.subject.start.line - 1]
    assert second.subject is not None and "./bin/in" in lines[second.subject.start.line - 1]
    assert (second.address, third.severity) == ("task.copy.input", Severity.WARNING)
    report = tasks.drift()  # also where the configuration is not planned for an apply
    assert [each.summary for each in report.diagnostics] == ["Rows missing", "Not allowed", "Slow"]
    assert report.exit_code == 1


def test_a_plan_that_reads_nothing_asks_nothing_and_says_so(tasks: Tasks) -> None:
    tasks.source.reports = lambda _config, _context: [sdk.Finding("Not allowed")]
    tasks.write(tasks.text())
    assert "(-preflight=false)" in text_of(tasks.plan(assess=False))
    plan = tasks.plan(refresh=False)
    assert tasks.source.seen == []
    assert "  # What happens to the data is not checked (-refresh=false)" in text_of(plan)
    assert only(plan_from_json(loads(dumps(plan.to_json()), "plan"))).unassessed == only(plan).unassessed


@pytest.mark.parametrize(
    "problem",
    [sdk.DeniedError("Could not connect", "no route"), ValueError("no route"), sdk.Deferred("config.rows")],
    ids=lambda each: type(each).__name__,
)
def test_a_server_that_cannot_be_asked_is_a_warning_and_what_was_found_before_is_kept(
    tasks: Tasks, problem: Exception
) -> None:
    def reports(_config: Any, _context: Any) -> Iterator[Any]:
        yield sdk.Consequence("capacity", "there is room")
        raise problem

    tasks.source.reports = reports
    plan = tasks.change(tasks.text())
    assert [each.summary for each in plan.diagnostics] == ["Consequences not checked"]
    assert [each.text for each in only(plan).consequences] == ["there is room"]


def test_a_server_that_does_not_answer_holds_up_no_plan(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def reports(_config: Any, _context: Any) -> Iterator[Any]:
        yield sdk.Consequence("capacity", "there is room")
        asked.set()
        over.wait(PATIENCE)

    tasks.source.reports = reports
    monkeypatch.setattr(threading.Thread, "join", partialmethod(_join_asking, asked))
    plan = tasks.change(tasks.text())
    over.set()
    assert [each.detail for each in plan.diagnostics] == ["the server did not answer within 25 s"]
    assert [each.text for each in only(plan).consequences] == ["there is room"]


def _join_asking(
    thread: threading.Thread, asked: threading.Event, timeout: float | None = None, *, join: Any = threading.Thread.join
) -> None:
    """Join a thread; that of consequences is left as soon as it waits for its server."""
    if thread.name == "consequences":
        asked.wait(PATIENCE)
    else:
        join(thread, timeout)


def test_an_unchanged_task_is_shown_only_for_what_is_breaking(tasks: Tasks) -> None:
    tasks.apply(tasks.text())
    tasks.source.reports = lambda _config, _context: [sdk.Consequence("retention", "enough time is left", hours=90)]
    assert "retention" not in text_of(tasks.plan())
    assert only(tasks.plan()).consequences[0].kind == "retention"
    tasks.source.reports = lambda _config, _context: [sdk.Consequence("retention", "the log ends", "breaking", hours=1)]
    text = text_of(tasks.plan())
    assert "Breaking consequences:\n\n  ! task.copy: the log ends (1.0 h left)" in text
    assert text.endswith("No changes. The real objects match the configuration. Consequences: 1 breaking.")


def test_how_much_data_an_object_holds_is_shown_where_it_is_destroyed(tasks: Tasks) -> None:
    tasks.apply(tasks.text())
    tasks.source.contents = lambda: {"messages": 1, "bytes": 2048}
    address = 'task.copy.input.box["b"]'

    def loss(plan: Plan) -> list[Any]:
        found = next(each for each in plan.to_json()["resource_changes"] if each["address"] == address)
        return [(each["kind"], each["label"], each["numbers"]) for each in found["consequences"]]

    replaced = tasks.change(tasks.text(rows=2))
    assert loss(replaced) == [("loss", "breaking", {"messages": 1, "bytes": 2048})]
    assert f"  ! {address}: the data in it is destroyed (2.0 kB, 1 message)" in text_of(replaced)
    assert loss(tasks.plan(destroy=True)) == loss(tasks.change("")) == loss(replaced)
    tasks.source.contents = lambda: {"messages": 0}
    assert loss(tasks.plan()) == [("loss", "non-breaking", {"messages": 0})]
    for silent in (None, {}):
        tasks.source.contents = lambda silent=silent: silent
        assert loss(tasks.plan()) == []
    tasks.source.contents = lambda: {"messages": -1}
    assert loss(tasks.plan()) == []
    assert loss(tasks.plan(refresh=False)) == []


def test_the_example_in_the_documentation_is_what_a_plan_prints(tasks: Tasks) -> None:
    tasks.source.streams = ["orders", "people"]
    tasks.apply(tasks.text())
    tasks.source.streams = ["orders"]
    tasks.source.reports = lambda _config, _context: [
        sdk.Consequence(
            "reread",
            "people is emptied in the target and read again",
            "breaking",
            'The slot is ahead of the checkpoint. on_gap is "snapshot".',
            rows=2_000_000,
            bytes=310_000_000,
        ),
        sdk.Consequence("snapshot", "orders is read from the beginning", rows=12_000, bytes=3_400_000),
        sdk.Consequence("retention", "the slot dstream_copy is lost after this much more log", bytes=2e9, hours=60),
    ]
    lines = text_of(tasks.change(tasks.text(rows=2))).splitlines()
    page = (ROOT / "docs/consequences.md").read_text("utf-8")
    example = page.partition("```\n")[2].partition("```")[0].splitlines()
    assert len(example) > 8
    assert [line for line in example if line and line not in lines] == []
