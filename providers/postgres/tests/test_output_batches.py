"""Statements for many rows: they give what statements for one row give, and find the rows by their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from dstream_postgres.applier import Applier
from dstream_postgres.rows import Row, parse_row
from dstream_postgres.settings import OutputSettings
from dstream_postgres.target import Target
from providers.postgres.tests.harness import Database
from providers.postgres.tests.test_output import change

_TYPES = """
CREATE TYPE mood AS ENUM ('so, so', '{}', 'NULL'); CREATE DOMAIN whole AS int; CREATE DOMAIN several AS int[];
CREATE TYPE pair AS (a int, b text);
"""
_VALUES: dict[str, tuple[Any, ...]] = {
    "bigint": (9007199254740993, None, -1),
    "numeric": ("1e400", 0.10, None),
    "numeric(6,2)": (1.005, "NaN", None),
    "float8": ("Infinity", 1e-300, None),
    "boolean": (True, False, None),
    "text": ("", "null", 'say "hello"', "it's {a,b}", "back\\slash", "line\nbreak", None, "NULL", " , ", "{", "Ünï"),
    "varchar(9)": ("{}", "a,b", None),
    "char(5)": ("a", "", None),
    '"char"': ("a", ",", None),
    "bit(3)": ("101", None),
    "bytea": ("\\x5c27", "\\x", None),
    "timestamptz": ("2026-01-01T00:00:00.123456+00:00", "infinity", None),
    "interval": ("1 mon -3 days", None),
    "uuid": ("00000000-0000-0000-0000-000000000001", None),
    "inet": ("10.0.0.0/8", None),
    "box": ("(2,2),(1,1)", None),
    "point": ("(1,2)", None),
    "int4range": ("[1,5)", "empty", None),
    "int[]": ([1, None, 3], [], None),
    "text[]": ([["a,b", "c"], ["NULL", None]], None),
    "mood": ("so, so", "{}", "NULL", None),
    "whole": (7, None),
    "several": ([1, 2], None),
    "pair": ('(1,"a,b")', None),
    "jsonb": ({"a": [1, "x"]}, "text", 5, None),
    "json": ({"a": [1, "x"]}, None),
    "tsvector": ("'a':1 'b'", None),
}


@pytest.fixture
def connection(database: Database) -> Iterator[Any]:
    opened = psycopg2.connect(database.dsn)
    yield opened
    opened.close()


def rows_of(*changes: dict[str, Any]) -> list[Row]:
    return [parse_row(json.dumps(each, ensure_ascii=False).encode(), {}) for each in changes]


def applier(connection: Any, database: Database) -> Applier:
    return Applier(connection, Target(connection, OutputSettings(connection_string=database.dsn), []))


def read(connection: Any, sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_values_of_every_type_are_the_same_in_one_statement_and_in_many(database: Database, connection: Any):
    database.execute(_TYPES)
    for number, (kind, values) in enumerate(_VALUES.items()):
        for name in ("one", "many"):
            database.execute(f"CREATE TABLE {name}{number} (id int PRIMARY KEY, v {kind}, w text)")
            database.execute(f"INSERT INTO {name}{number} SELECT generate_series(0, 99)")
        changes = {
            name: rows_of(
                *(
                    change("Update", {"id": at, "v": values[at % len(values)], "w": "x"}, f"public.{name}{number}")
                    for at in range(60)
                )
            )
            for name in ("one", "many")
        }
        many, one = applier(connection, database), applier(connection, database)
        many.apply(changes["many"])
        for row in changes["one"]:
            one.apply([row])
        assert (many.rejected, one.rejected) == ([], []), kind
        left = f"SELECT t::text FROM one{number} t EXCEPT SELECT t::text FROM many{number} t"
        assert read(connection, left) == [], kind


@pytest.mark.parametrize("key", ["id", "name", "id, name"])
def test_many_rows_are_found_by_their_keys(database: Database, connection: Any, key: str):
    database.execute(f"CREATE TABLE t (id int, name varchar(20), v text, PRIMARY KEY ({key}))")
    database.execute("INSERT INTO t SELECT i, 'it''s ' || i, 'a' FROM generate_series(1, 20000) i; ANALYZE t")
    keys = key.split(", ")

    def changes(operation: str, first: int) -> list[Row]:
        every = ({"id": at, "name": f"it's {at}", "v": "b"} for at in range(first, first + 3000))
        return rows_of(*(change(operation, data, Key={name: data[name] for name in keys}) for data in every))

    written = applier(connection, database)
    written.apply([*changes("Update", 1), *changes("Delete", 5001)])
    ((scans,),) = read(connection, "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 't'")
    assert (scans, written.rejected) == (0, [])
    assert read(connection, "SELECT v, count(*) FROM t GROUP BY v ORDER BY v") == [("a", 14000), ("b", 3000)]
    assert read(connection, "SHOW enable_hashjoin") == [("on",)]
