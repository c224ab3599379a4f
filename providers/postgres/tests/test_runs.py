"""Runs: what is merged, and that the short way for batches of one kind gives what the long one does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream_postgres import runs
from dstream_postgres.names import Table
from dstream_postgres.rows import Row, parse_row
from dstream_postgres.target import TargetColumn, TargetTable

COLUMNS = {name: TargetColumn(name, "bigint", "bigint", False, False, False, False, False) for name in ("id", "a", "b")}
KEY = frozenset([frozenset(["id"])])
TABLE = TargetTable(Table("public", "t"), COLUMNS, KEY, KEY, triggers=False, references=False, kind="r")
REFERRING = TargetTable(Table("public", "t"), COLUMNS, KEY, KEY, triggers=False, references=True, kind="r")


def row(operation: str, data: dict[str, int], **more: object) -> Row:
    metadata = {"TableName": "t", "OperationType": operation, "Key": {"id": data["id"]}, **more}
    return parse_row(json.dumps({"data": data, "metadata": metadata}).encode(), {})


ROWS = st.builds(
    row,
    st.sampled_from(["Insert", "Insert", "Read", "Update", "Delete"]),
    st.one_of(
        st.fixed_dictionaries({"id": st.integers(1, 6), "a": st.integers(1, 3)}),
        st.fixed_dictionaries({"id": st.integers(1, 6), "a": st.integers(1, 3), "b": st.integers(1, 3)}),
    ),
)


@pytest.mark.parametrize("table", [TABLE, REFERRING])
@given(batch=st.lists(ROWS, min_size=1, max_size=6))
def test_the_short_way_plans_the_runs_of_the_long_one(table: TargetTable, batch: list[Row]):
    placed = [(each, table) for each in batch]
    short = runs.planned(placed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_uniform", lambda _: None)
        long = runs.planned(placed)
    assert [(run.kind, run.table, run.rows) for run in short] == [(run.kind, run.table, run.rows) for run in long]


def test_rows_of_one_kind_with_different_keys_are_one_run_without_a_merge(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "_Merged", None)
    batch = [(row("Insert", {"id": number, "a": 1}), TABLE) for number in range(5)]
    (run,) = runs.planned(batch)
    assert (run.kind, len(run.rows)) == (runs.Kind.INSERT, 5)


@pytest.mark.parametrize(
    "odd",
    [
        row("Insert", {"id": 1, "a": 2}),
        row("Insert", {"id": 9, "a": 2, "b": 1}),
        row("Update", {"id": 9, "a": 2}),
        row("Update", {"id": 9, "a": 2}, OldKey={"id": 8}),
        row("Update", {"id": 9}, Unchanged=["a"]),
        row("Insert", {"id": 9, "a": 2}, Keyless=True),
    ],
)
def test_an_odd_row_makes_a_batch_take_the_long_way(odd: Row):
    assert runs._uniform([(row("Insert", {"id": 1, "a": 1}), TABLE), (odd, TABLE)]) is None
