"""Columns that differ from those at the last apply: breaking or not, and for which outputs."""

from __future__ import annotations

from typing import Any

import pytest

import dstream_sdk as sdk
from dstream.consequences import Label
from dstream.engine.plan.column_changes import _difference
from dstream.engine.providers.stream_columns import stream_columns
from tests.unit.engine.reporting_tasks import Tasks, only, tasks, text_of

__all__ = ["tasks"]
BREAKING, FINE = Label.BREAKING, Label.NON_BREAKING


def column(kind: str, **more: Any) -> str:
    return stream_columns({"columns": [sdk.Column("c", kind, **more).to_json()]})["c"]


def test_a_column_is_recorded_with_what_its_values_can_be() -> None:
    assert column("decimal", precision=12, scale=2) == "decimal(12,2)?"
    assert column("text", nullable=False, length=20) == "text(20)"
    assert column("array", items="int32") == "array of int32?"
    assert column("other", source="geography") == "geography?"
    assert column("enum", values=("a", "b")) == "enum a, b?"
    assert stream_columns({"columns": [7, {"type": "text"}]}) == {}


@pytest.mark.parametrize(
    ("before", "now", "label"),
    [
        ("int32", "int64", FINE),
        ("int64", "int32", BREAKING),
        ("int16", "decimal", FINE),
        ("int16", "decimal(3,0)", BREAKING),
        ("text(20)", "text(50)", FINE),
        ("text(20)", "text", FINE),
        ("text", "text(20)", BREAKING),
        ("decimal(10,2)", "decimal(12,2)", FINE),
        ("decimal(10,2)", "decimal(10,4)", BREAKING),
        ("float32", "float64", FINE),
        ("text", "uuid", BREAKING),
        ("text", "text?", BREAKING),
        ("text?", "text", FINE),
        ("int32?", "int64?", FINE),
        (None, "text?", FINE),
        ("text?", None, BREAKING),
        ("enum a, b", "enum a, b, c", BREAKING),
    ],
)
def test_a_column_that_a_reader_cannot_read_as_before_is_breaking(
    before: str | None, now: str | None, label: Label
) -> None:
    found = _difference("c", before, now)
    assert found is not None
    assert found[0] is label


def test_an_altered_table_is_shown_even_without_changes_until_it_is_applied(tasks: Tasks) -> None:
    columns = [sdk.Column("id", "int32", nullable=False), sdk.Column("note", "text", length=20)]
    tasks.source.columns = columns
    tasks.apply(tasks.text())
    assert only(tasks.plan()).consequences == ()
    tasks.source.columns = [columns[0], sdk.Column("more", "text")]
    plan = tasks.plan()
    assert [(each.label, each.stream, each.text) for each in only(plan).consequences] == [
        (BREAKING, "orders", "orders: the column note no longer exists"),
        (FINE, "orders", "orders: the column more is new (text, nullable)"),
    ]
    assert not plan.has_changes
    assert "Breaking consequences:" in text_of(plan)
    tasks.write(tasks.text().replace("config { }", 'config {\n      route = ["note"]\n    }'))
    assert only(tasks.plan()).consequences[0].detail == "task.copy.output names it in the settings."
    tasks.write(tasks.text())
    tasks.apply()  # nothing to change, but the columns are recorded
    assert only(tasks.plan()).consequences == ()


def test_a_state_of_an_earlier_version_has_no_columns_and_says_nothing_of_them(tasks: Tasks) -> None:
    tasks.apply(tasks.text())
    recorded = tasks.snapshot.tasks["task.copy"]
    assert "columns" not in recorded.to_json()
    tasks.source.columns = [sdk.Column("id", "int32")]
    assert only(tasks.plan()).consequences == ()
    tasks.apply()
    assert tasks.snapshot.tasks["task.copy"].columns == {"orders": {"id": "int32?"}}
