"""What plan says of the source's tables, and what apply refuses because it would break the tables' applications."""

from __future__ import annotations

import json
from typing import Any

import psycopg2.errors
import pytest

from dstream_sdk import Column
from dstream_sdk.testing import ProviderProcess
from providers.postgres.tests.harness import Database, InputRun, ResourceRun, plan, program


def answer(database: Database, *tables: str, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The end of a plan, and its warnings by their summary."""
    end = plan("in", {"connection_string": database.dsn, "tables": list(tables), **more})[-1]
    return end, {one["summary"]: one["detail"] for one in end.get("diagnostics", ())}


def test_streams_have_the_keys_and_columns_of_the_tables(database: Database):
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN price AS numeric(12, 2) NOT NULL")
    database.execute(
        "CREATE TABLE t (b int, a int, n numeric, p price, v varchar(20), c char(3), m mood, tz timestamptz(3), d date,"
        " ar int[], j jsonb, by bytea, u uuid, ip inet, PRIMARY KEY (a, b))"
    )
    lines = plan("in", {"connection_string": database.dsn, "tables": ["t"]})
    (stream,) = [line["stream"] for line in lines if "stream" in line]
    assert stream["key"] == ["a", "b"]
    columns = {each.name: each for each in map(Column.from_json, stream["columns"])}
    assert columns["a"] == Column("a", "int32", False, "integer")
    assert columns["n"] == Column("n", "decimal", True, "numeric")
    assert columns["p"] == Column("p", "decimal", True, "price", precision=12, scale=2)
    assert columns["v"] == Column("v", "text", True, "character varying(20)", length=20)
    assert columns["c"] == Column("c", "text", True, "character(3)", length=3)
    assert columns["m"] == Column("m", "enum", True, "mood", values=("sad", "glad"))
    assert columns["tz"] == Column("tz", "timestamp_tz", True, "timestamp(3) with time zone", precision=3)
    assert columns["ar"] == Column("ar", "array", True, "integer[]", items="int32")
    assert [columns[name].type for name in ("d", "j", "by", "u", "ip")] == ["date", "json", "bytes", "uuid", "other"]
    again = plan("in", {"connection_string": database.dsn, "tables": ["t"]})
    assert [line["stream"]["version"] for line in again if "stream" in line] == [stream["version"]]


def test_the_columns_are_announced_in_the_stream_and_again_when_they_change(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric(5, 1) NOT NULL); INSERT INTO t VALUES (1, 1)")
    database.prepare("t")
    first = announced(database)
    assert [(kind, names) for kind, names in first] == [("schema", ["id", "n"]), ("data", ["id", "n"])]
    database.execute("INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD x text; INSERT INTO t VALUES (3, 3, 'x')")
    assert announced(database, snapshot="never") == [
        ("schema", ["id", "n"]),
        ("data", ["id", "n"]),
        ("schema", ["id", "n", "x"]),
        ("data", ["id", "n", "x"]),
    ]


def announced(database: Database, **more: Any) -> list[tuple[str, list[str]]]:
    opening = {"command": "run", "protocol": 2, "role": "input", "task": "t", "acks": True, "schemas": True}
    found = []
    with ProviderProcess(program("in")) as process:
        process.send({**opening, "config": database.config("t", **more), "checkpoint": None, "until": "current"})
        for line in process.lines():
            value = json.loads(line)
            if "checkpoint" in value:
                process.send({"committed": {"n": value["n"], "checkpoint": value["checkpoint"]}})
            elif "schema" in value:
                found.append(("schema", [column["name"] for column in value["schema"]["columns"]]))
            elif "data" in value:
                found.append(("data", list(value["data"])))
        process.wait()
    return found


def test_a_table_without_a_key_is_refused_by_plan_and_apply_unless_it_is_allowed(database: Database):
    database.execute("CREATE TABLE t (a int, j json); CREATE TABLE k (id int PRIMARY KEY)")
    end, _ = answer(database, "t", "k")
    assert end["status"] == "error"
    (error,) = end["diagnostics"]
    assert (error["summary"], error["class"], error["path"]) == ("Table without a key", "invalid", "config.tables")
    assert "public.t:" in error["detail"]
    assert "allow_tables_without_key" in error["detail"]
    for fine in ({"replica_identity": "full"}, {"operations": ["insert", "truncate"]}):
        assert answer(database, "t", "k", **fine)[0]["status"] == "done"
    end, warnings = answer(database, "t", "k", allow_tables_without_key=True)
    assert end["status"] == "done"
    assert "public.t:" in warnings["Table without a key"]
    assert answer(database, "t", manage=False)[0]["status"] == "done"

    session = ResourceRun({"connection_string": database.dsn})
    desired = {"name": "p", "tables": ["public.t"], "operations": ["insert", "update", "delete", "truncate"]}
    refused = session.ask("init", "postgres_publication", key="p", desired=desired, prior=None, intent="i1")
    assert refused["status"] == "error"
    assert refused["diagnostics"][0]["summary"] == "Table without a key"
    database.execute("INSERT INTO t VALUES (1); UPDATE t SET a = 2; DELETE FROM t")
    allowed = {**desired, "allow_tables_without_key": True}
    made = session.ask("init", "postgres_publication", key="p", desired=allowed, prior=None, intent="i2")
    assert made["status"] == "ok"
    assert made["attributes"]["allow_tables_without_key"] is True
    database.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        database.execute("UPDATE t SET a = 2")
    session.close()


def test_a_partition_without_a_key_counts_and_one_with_replica_identity_full_does_not(database: Database):
    database.execute("CREATE TABLE p (id int) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    assert answer(database, "p")[0]["status"] == "error"
    database.execute("ALTER TABLE p1 REPLICA IDENTITY FULL")
    assert answer(database, "p")[0]["status"] == "done"


def test_a_publication_of_the_earlier_version_is_upgraded(database: Database):
    session = ResourceRun({"connection_string": database.dsn})
    prior = {"name": "p", "tables": ["public.t"], "operations": ["insert"], "oid": 5}
    answered = session.ask("upgrade", "postgres_publication", key="p", prior=prior, version=1)
    assert answered["attributes"] == {**prior, "allow_tables_without_key": False}
    session.close()


def test_children_are_not_published_with_their_parent_and_plan_names_them(database: Database):
    database.execute("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent)")
    _, warnings = answer(database, "parent")
    assert "public.child" in warnings["Child tables not followed"]
    session = ResourceRun({"connection_string": database.dsn})
    desired = {"name": "p", "tables": ["public.parent"], "operations": ["insert", "update", "delete", "truncate"]}
    made = session.ask("init", "postgres_publication", key="p", desired=desired, prior=None, intent="i1")
    assert made["attributes"]["tables"] == ["public.parent"]
    database.execute("INSERT INTO child VALUES (1); UPDATE child SET id = 2")
    session.close()


def test_plan_says_how_many_rows_the_first_run_reads(database: Database):
    database.execute("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY)")
    database.execute("INSERT INTO a SELECT n, repeat('x', 100) FROM generate_series(1, 1234) n; ANALYZE a")
    _, warnings = answer(database, "a", "b")
    assert "public.a (about 1,234)" in warnings["Rows to read"]
    assert "public.b (not analyzed yet)" in warnings["Rows to read"]
    assert "kB" in warnings["Rows to read"]
    assert answer(database, "a", "b", snapshot="never")[1] == {}
    database.prepare("a", "b")
    slot = f"dstream_t_{database.name}"
    assert answer(database, "a", "b", slot=slot)[1] == {}
    database.execute("ANALYZE b; CREATE TABLE c (id int PRIMARY KEY)")
    _, warnings = answer(database, "a", "b", "c", slot=slot)
    assert "public.a" not in warnings["Rows to read"]
    assert "public.c" in warnings["Rows to read"]


def test_plan_warns_of_missing_tables_and_of_row_level_security(database: Database):
    role = f"reader_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader-secret'")
    try:
        database.execute("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        dsn = database.dsn.replace(f"postgres:{database.server.password}", f"{role}:reader-secret")
        end = plan("in", {"connection_string": dsn, "tables": ["t", "nowhere"]})[-1]
        warnings = {one["summary"]: one["detail"] for one in end["diagnostics"]}
        assert end["status"] == "done"
        assert "public.t" in warnings["Row-level security applies"]
        assert "public.nowhere" in warnings["Table not found"]
    finally:
        database.execute(f"DROP ROLE {role}")


def test_without_the_capability_no_schema_line_is_written(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    database.prepare("t")
    run = InputRun(database.config("t")).finish()
    assert not any(line.startswith(b'{"schema":') for line in run.lines)
