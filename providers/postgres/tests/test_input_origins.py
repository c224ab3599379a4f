"""Replication origins: what another replication has written is left out or named, and a pair of tasks makes no loop."""

from __future__ import annotations

import json

import pytest

from providers.postgres.tests.flow import Flow
from providers.postgres.tests.harness import Database, InputRun


def write(database: Database, origin: str, number: int) -> None:
    """Insert a row as a replication of that name would."""
    with database.server.connect(database.name) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_replication_origin_create(%s) WHERE NOT EXISTS"
            " (SELECT 1 FROM pg_replication_origin WHERE roname = %s)",
            (origin, origin),
        )
        cursor.execute("SELECT pg_replication_origin_session_setup(%s)", (origin,))
        cursor.execute("INSERT INTO t VALUES (%s), (%s)", (number, number + 1))


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("others", [1, 2, 20, 21, 30, 31, 40]),
        ("none", [1, 2, 40]),
        ("any", [1, 2, 10, 11, 20, 21, 30, 31, 40]),
    ],
)
def test_changes_with_an_origin_are_delivered_by_the_setting(database: Database, setting: str, wanted: list[int]):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    start = InputRun(database.config("t")).finish().checkpoint
    names = [f"dstream_copy_{database.name}", f"other_{database.name}", f"dstreamer_{database.name}"]
    try:
        database.execute("INSERT INTO t VALUES (1), (2)")
        for number, name in enumerate(names, 1):
            write(database, name, number * 10)
        database.execute("INSERT INTO t VALUES (40)")
        run = InputRun(database.config("t", origin=setting), start).finish()
        assert run.ended, run.said
        assert [one["data"]["id"] for one in run.envelopes] == wanted
        named = {one["data"]["id"]: one["metadata"].get("Origin") for one in run.envelopes}
        assert named[1] is None
        assert named[40] is None
        if setting != "none":
            assert named[20] == names[1]
        if setting == "any":
            assert named[11] == names[0]
        else:
            assert f"left out 1 transactions with the replication origin '{names[0]}'" in run.said
        assert InputRun(database.config("t", origin=setting), run.checkpoint).finish().envelopes == []
    finally:
        for name in names:
            database.execute("SELECT pg_replication_origin_drop(%s)", (name,))


def test_two_databases_that_copy_each_other_make_no_loop(database: Database, target: Database):
    for each in (database, target):
        each.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        each.prepare("t")
    there = Flow(database.config("t", publication="dstream_t"), {"connection_string": target.dsn}, task="there")
    back = Flow(target.config("t", publication="dstream_t"), {"connection_string": database.dsn}, task="back")
    for flow in (there, back):
        assert flow.session()
    database.execute("INSERT INTO t VALUES (1, 'from a')")
    target.execute("INSERT INTO t VALUES (2, 'from b')")
    moved = []
    for _ in range(3):
        for flow in (there, back):
            assert flow.session()
            moved.append(flow.records)
    assert moved == [1, 1, 0, 0, 0, 0]
    rows = [(1, "from a"), (2, "from b")]
    assert database.execute("SELECT * FROM t ORDER BY id") == rows
    assert target.execute("SELECT * FROM t ORDER BY id") == rows
    assert json.dumps(there.checkpoint) != json.dumps(back.checkpoint)
