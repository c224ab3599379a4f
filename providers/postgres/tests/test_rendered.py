"""Rows that the server renders: byte by byte what is made of the values here, and what the stream sends."""

from __future__ import annotations

import json

import pytest

from dstream_postgres import rendered
from dstream_postgres.copied import Rows, compile_rows
from dstream_postgres.database import connect
from dstream_postgres.encoder import Column, Encoder
from providers.postgres.tests.harness import Database

VALUES = {
    "int2": "-32768", "int4": "7", "int8": "9223372036854775807", "oid": "4294967295", "bool": "true",
    "float4": "1e-30", "float8": "0.1", "numeric": "1.50", "numeric(4,2)": "NaN", "text": "",
    "varchar(9)": "a'b\"c\\d/", "char(5)": "ab", "name": "n", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "bytea": "\\x00ff5c27", "date": "infinity", "timestamp": "2026-02-28 23:59:59.5", "timestamptz": "0044-03-15 BC",
    "time": "24:00", "timetz": "12:00+02", "interval": "-1 mon 3 days 04:05:06.7", "inet": "10.0.0.1",
    "cidr": "10.0.0.0/8", "macaddr": "08:00:2b:01:02:03", "macaddr8": "08:00:2b:01:02:03:04:05", "bit(3)": "101",
    "varbit": "1", "pg_lsn": "16/B374D848",
}  # fmt: skip
"""A value for every type that is rendered."""
ODD = [
    *(chr(code) for code in range(1, 128)), "\x01\x02\t\\N\\.\n", "\\.", "é\u2028\U0001f600", "Infinity", "null",
    "'%s'",
]  # fmt: skip


def lines(database: Database, command: str, make: Rows) -> list[bytes]:
    found: list[bytes] = []

    class Sink:
        def write(self, row: bytes) -> None:
            found.append(row)

    connection = connect(database.dsn)
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(command, Sink())
    finally:
        connection.close()
    return make(found, b"AB:", 41, b'","End":1}}\n')


def both(database: Database, table: str, key: list[str], *, keyless: bool = False) -> list[bytes]:
    """The lines of a table's rows, which are the same in both ways."""
    columns = database.execute(
        "SELECT a.attname::text, CASE WHEN typtype = 'd' THEN typbasetype ELSE t.oid END::bigint FROM pg_attribute a"
        " JOIN pg_type t ON t.oid = atttypid WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        (table,),
    )
    encoder = Encoder('public.o"dd 5%d', [Column(name, oid) for name, oid in columns], key, keyless=keyless)
    command = rendered.command(encoder, table)
    assert command is not None
    found = lines(database, command, rendered.complete_rows(encoder))
    assert found == lines(database, f"COPY {table} TO STDOUT", compile_rows(encoder))
    assert all(json.loads(line) for line in found)
    return found


def test_every_type_is_rendered_as_it_is_encoded(database: Database):
    made = ", ".join(f'"c {number}" {kind}' for number, kind in enumerate(VALUES))
    database.execute(f"CREATE TABLE t ({made})")
    marks = ", ".join(["%s"] * len(VALUES))
    database.execute(f"INSERT INTO t VALUES ({marks})", tuple(VALUES.values()))
    database.execute(f"INSERT INTO t VALUES ({marks})", (None,) * len(VALUES))
    every = [f"c {number}" for number in range(len(VALUES))]
    first, second = both(database, "t", every)
    assert b'"Key":{"c 0":-32768,' in first and b'"Position":"AB:00000042","End":1}}' in first
    assert b'"Key":{"c 0":null,' in second
    assert len(both(database, "t", [])) == len(both(database, "t", every, keyless=True)) == 2


def test_every_sign_of_a_text_is_rendered_as_it_is_encoded(database: Database):
    database.execute("""CREATE DOMAIN word AS text; CREATE TABLE t (d word PRIMARY KEY, "it's ""k"" %% \\" text)""")
    for text in ODD:
        database.execute("INSERT INTO t VALUES (%s, %s)", (text, text))
    found = both(database, "t", ["d", 'it\'s "k" % \\'])
    assert {json.loads(line)["data"]["d"] for line in found} == set(ODD)


def test_numbers_keep_their_digits(database: Database):
    numbers = ("1e400", "-0.000", "12345678901234567890.1234567890", "Infinity", "-Infinity", "NaN", "1e-20")
    database.execute("CREATE TABLE t (n numeric, f float8, r float4)")
    for number in numbers:
        near = number if number != "1e400" else "1.7976931348623157e308"
        database.execute("INSERT INTO t VALUES (%s, %s, %s)", (number, near, near if near == number else "3e38"))
    assert len(both(database, "t", [])) == len(numbers)


@pytest.mark.parametrize(
    "kind", ["json", "jsonb", "int[]", "point", "xml", "money", "mood", "pair", '"char"', "int4range"]
)
def test_other_types_are_not_left_to_the_server(database: Database, kind: str):
    database.execute("CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (a int, b int)")
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    ((oid,),) = database.execute(
        "SELECT atttypid::bigint FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 2"
    )
    assert rendered.command(Encoder("t", [Column("id", 23), Column("v", oid)], ["id"]), "t") is None
