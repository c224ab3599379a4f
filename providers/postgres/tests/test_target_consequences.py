"""What a plan reports of a target: columns that differ, and what writing would fail on; PostgreSQL is the judge."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from dstream_postgres.output import PostgresOutput
from dstream_postgres.settings import OutputSettings
from dstream_sdk import Column, Finding, PlanContext, Stream
from providers.postgres.tests.harness import Database
from providers.postgres.tests.test_consequences import findings, role

__all__ = ["role"]
COLUMNS = (Column("id", "int32", False), Column("note", "text", length=20), Column("more", "text"))


def assessed(dsn: str, *streams: Stream, **more: Any) -> list[Any]:
    context = PlanContext("t", streams, assessed=True)
    return list(PostgresOutput().consequences(OutputSettings(connection_string=dsn, **more), context))


def consequences(found: list[Any]) -> list[tuple[str, str]]:
    return [(each.label, each.summary) for each in found if not isinstance(each, Finding)]


def test_each_privilege_that_is_missing_is_refused_by_the_server_until_the_statement_is_run(
    database: Database, role: str
):
    dsn = database.dsn.replace("postgres:", f"{role}:", 1)
    database.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    database.execute(f"GRANT USAGE ON SCHEMA s TO {role}")
    options = {"session_replication_role": "replica", "create_tables": True}
    streams = (Stream("s.t", ("id",)), Stream("s.new", ("id",)))

    def attempt(statement: str) -> None:
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.rollback()

    found = findings(assessed(dsn, *streams, **options))
    judged = {
        "Checkpoint table cannot be created": "CREATE TABLE public.dstream_checkpoint (task text)",
        "Parameter cannot be set": "SET session_replication_role = replica",
        "No privilege on a table": "INSERT INTO s.t VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2; DELETE FROM s.t",
        "No CREATE in the target": "CREATE TABLE s.new (id int)",
    }
    assert list(found) == list(judged)
    for summary, statement in judged.items():
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            attempt(statement)
        database.execute(found[summary].fix)
        attempt(statement)
    assert findings(assessed(dsn, *streams, **options)) == {}
    database.execute(
        f"ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; REVOKE SET ON PARAMETER session_replication_role FROM {role}"
    )
    assert list(findings(assessed(dsn, *streams))) == ["Row-level security in the target", "No such table"]


def test_columns_that_differ_are_breaking_where_the_output_may_not_change_the_table(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, note varchar(5), must int NOT NULL, old int)")
    stream = Stream("public.t", ("id",), columns=COLUMNS)
    found = assessed(database.dsn, stream)
    assert consequences(found) == [
        ("breaking", "public.t.note of the target is character varying(5), and the source has character varying(20)"),
        ("breaking", "public.t of the target has no column more: the task ends at the first row"),
        ("breaking", "public.t of the target requires the column must, which the source does not have"),
        ("forward-only", "public.t.old of the target is not written: the source does not have it"),
    ]
    changed = consequences(assessed(database.dsn, stream, create_tables=True))
    assert [label for label, _ in changed] == ["non-breaking", "non-breaking", "forward-only"]
    insert = f"INSERT INTO t (id, note, more) VALUES (1, '{'x' * 20}', 'm')"
    for each in found:
        if each.label == "breaking":
            with pytest.raises(psycopg2.Error):
                database.execute(insert)
            database.execute(each.fix)
    database.execute(insert)
    assert [label for label, _ in consequences(assessed(database.dsn, stream))] == 2 * ["forward-only"]


def test_a_table_that_is_missing_is_created_or_named(database: Database):
    stream = Stream("public.t", ("id",), columns=COLUMNS)
    assert list(findings(assessed(database.dsn, stream))) == ["No such table"]
    found = assessed(database.dsn, stream, create_tables=True)
    assert consequences(found) == [("non-breaking", "the table public.t is created in the target")]
