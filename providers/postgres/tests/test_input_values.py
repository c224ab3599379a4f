"""Values that PostgreSQL accepts and JSON parsers stumble over: their text is on the wire, from stream and snapshot."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dstream_postgres.copied import unescape
from providers.postgres.tests.harness import Database, InputRun

DEEP = "[" * 2000 + "]" * 2000
JSONS = [
    "1e400",
    r'"\ud800"',
    r'"\u0000"',
    DEEP,
    ' {"a" :\n\t[1, 2.50],\r\n "b": "x\\ny"} ',
    '"tab\\tand \\\\ and \\""',
    "null",
    "  null ",
    '"null"',
    "[null]",
    "true",
    "12345678901234567890.000",
]


@pytest.fixture(autouse=True, scope="module")
def deep_json() -> Iterator[None]:
    """The harness reads what the input writes with Python's json."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


def lines(run: InputRun) -> list[bytes]:
    assert run.ended, run.said
    return [line for line in run.lines if line.startswith(b'{"data":')]


def both(database: Database, *tables: str) -> list[list[bytes]]:
    """The lines of the stream, and those of the snapshot."""
    return [lines(InputRun(database.config(*tables, snapshot=how)).finish()) for how in ("never", "initial")]


def value_text(line: bytes, name: str) -> bytes:
    """The text of the last column on the wire."""
    return line.split(b'"%b":' % name.encode(), 1)[1].split(b'},"metadata":', 1)[0]


@pytest.mark.parametrize("column", ["json", "jsonb"])
def test_the_text_of_json_is_on_the_wire(database: Database, column: str):
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, j {column})")
    database.prepare("t")
    given = []
    for text in JSONS:
        if column == "jsonb" and text in (r'"\ud800"', r'"\u0000"'):
            continue  # refused by jsonb itself
        given.append(text)
        database.execute("INSERT INTO t VALUES (%s, %s)", (len(given), text))
    wanted = [text.encode() for (text,) in database.execute("SELECT j::text FROM t ORDER BY id")]
    for found in both(database, "t"):
        assert [value_text(line, "j").strip() for line in found] == [
            text.replace(b"\n", b" ").replace(b"\r", b" ").strip() for text in wanted
        ]


def test_json_null_is_told_from_null(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a jsonb, b json, c jsonb)")
    database.prepare("t")
    database.execute(
        """INSERT INTO t VALUES (1, 'null', ' null', NULL), (2, NULL, NULL, '1'), (3, '{}', 'null', '[]')"""
    )
    database.execute("UPDATE t SET a = 'null' WHERE id = 2")
    streamed, read = ([json.loads(line) for line in found] for found in both(database, "t"))

    def nulls(envelopes: list[Any]) -> list[tuple[int, list[str]]]:
        return [(one["data"]["id"], one["metadata"].get("JsonNull", [])) for one in envelopes]

    assert nulls(streamed) == [(1, ["a", "b"]), (2, []), (3, ["b"]), (2, ["a"])]
    assert sorted(nulls(read)) == [(1, ["a", "b"]), (2, ["a"]), (3, ["b"])]
    assert streamed[0]["data"] == {"id": 1, "a": None, "b": None, "c": None}
    assert streamed[0]["metadata"]["Key"] == {"id": 1}


def test_numbers_beyond_all_floats_keep_their_digits(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric)")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 1e309), (2, -1e-400), (3, 'NaN'), (4, 1e5000 + 0.5)")
    wanted = [text.encode() for (text,) in database.execute("SELECT n::text FROM t ORDER BY id")]
    wanted[2] = b'"NaN"'
    for found in both(database, "t"):
        assert [value_text(line, "n") for line in found] == wanted


def test_every_character_survives_the_snapshot_as_it_does_the_stream(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b bytea, c text[], n text)")
    database.prepare("t")
    texts = ["".join(map(chr, range(1, 128))), "\\N", "\\", "a\tb\nc\rd\be\fg\vh", "", " ", "ü🚚\u2028", "\\.", '"']
    for number, text in enumerate(texts):
        values = (number, text, text.encode(), [text, None], None if number % 2 else text)
        database.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s)", values)
    streamed, read = ([json.loads(line)["data"] for line in found] for found in both(database, "t"))
    assert [one["a"] for one in read] == texts
    assert read == streamed


def test_escapes_of_copy():
    assert unescape(rb"a\tb\\n\nc\\\\d\v") == b"a\tb\\n\nc\\\\d\x0b"


def test_a_table_of_one_column_and_an_empty_table(database: Database):
    database.execute("CREATE TABLE t (v text PRIMARY KEY); CREATE TABLE empty (v text PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (''), ('x')")
    database.prepare("t", "empty")
    assert [json.loads(line)["data"] for line in both(database, "t", "empty")[1]] == [{"v": ""}, {"v": "x"}]


def test_rows_without_a_key_carry_the_whole_row_in_snapshot_and_stream(database: Database):
    database.execute("CREATE TABLE t (a int, j json); ALTER TABLE t REPLICA IDENTITY FULL")
    database.execute("""INSERT INTO t VALUES (1, '{"x": 1}'), (1, '{"x": 1}')""")
    database.prepare("t")
    database.execute("""INSERT INTO t VALUES (1, '{"x": 1}'); UPDATE t SET a = 2 WHERE ctid = '(0,1)'""")
    database.execute("DELETE FROM t WHERE ctid = '(0,2)'")
    streamed, read = ([json.loads(line) for line in found] for found in both(database, "t"))
    one, two = {"a": 1, "j": {"x": 1}}, {"a": 2, "j": {"x": 1}}
    assert [(each["metadata"]["OperationType"], each["metadata"]["Key"]) for each in streamed] == [
        ("Insert", one),
        ("Update", two),
        ("Delete", one),
    ]
    assert streamed[1]["metadata"]["OldKey"] == one
    assert sorted(each["metadata"]["Key"]["a"] for each in read) == [1, 2]
    assert all(each["metadata"]["Keyless"] is True for each in [*streamed, *read])
