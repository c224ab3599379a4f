"""Rows of COPY that are encoded many at a time: byte by byte what is made of each row by itself."""

from __future__ import annotations

import json
import os
import random

from dstream_postgres.copied import compile_each, compile_rows, unescape
from dstream_postgres.copyout import by_libpq, copy_out
from dstream_postgres.database import connect
from dstream_postgres.encoder import Column, Encoder, form_of
from dstream_postgres.together import compile_together
from providers.postgres.tests.harness import Database

VALUES = {
    "int2": "-32768", "int4": "7", "int8": "9223372036854775807", "oid": "4294967295", "bool": "true",
    "float4": "1e-30", "float8": "0.1", "numeric": "1.50", "numeric(4,2)": "-1.5", "text": "",
    "varchar(9)": "a'b\"c\\d/", "char(5)": "ab", "name": "n", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "bytea": "\\x00ff5c27", "date": "infinity", "timestamp": "2026-02-28 23:59:59.5", "timestamptz": "0044-03-15 BC",
    "time": "24:00", "timetz": "12:00+02", "interval": "-1 mon 3 days 04:05:06.7", "inet": "10.0.0.1",
    "cidr": "10.0.0.0/8", "macaddr": "08:00:2b:01:02:03", "macaddr8": "08:00:2b:01:02:03:04:05", "bit(3)": "101",
    "varbit": "1", "pg_lsn": "16/B374D848",
}  # fmt: skip
"""A value for each type that is encoded many rows at a time."""
ODD = [
    *(chr(code) for code in range(1, 128)), "\x01\x02\t\\N\\.\n", "\\.", "é\u2028\U0001f600", "Infinity", "null",
    "'%s'",
]  # fmt: skip


WORDS = ("Infinity", "-Infinity", "NaN")
JSONS = [
    '{"a": [1, "x", null]}', '"null"', "[null]", "1e400", '"a\\"b"', '"\\u0000"', '"\\ud800"', "null", " null ",
]  # fmt: skip
OTHERS = {
    "int[]": "{1,NULL}", "text[]": '{"a,b","\\"",NULL,"NULL"}', "point": "(1,2)", "money": "1", "mood": "ok",
    "pair": '(1,"a ""b"" \\\\")', '"char"': "x", "int4range": "[1,5)", "tsvector": "'a':1", "char(3)[]": "{}",
}  # fmt: skip
END = b'","End":1}}\n'


def copied(database: Database, table: str) -> bytes:
    """The rows of a table as COPY writes them, which are the same by the socket and by libpq."""
    socket: list[bytes] = []
    libpq: list[bytes] = []
    connection = connect(database.dsn)
    stop, other = os.pipe()
    try:
        copy_out(connection, f"COPY {table} TO STDOUT", lambda block, _: socket.append(block), stop)
        by_libpq(connection, f"COPY {table} TO STDOUT", lambda block, _: libpq.append(block))
    finally:
        connection.close()
        os.close(stop)
        os.close(other)
    assert b"\n".join(socket) == b"\n".join(libpq)
    return b"\n".join(socket)


def encoded(encoder: Encoder, block: bytes, *, together: bool | None = True) -> list[bytes]:
    """The lines of rows, the same in both ways. `together`: whether they are encoded together; None: either."""
    count = block.count(b"\n") + 1
    each = compile_each(encoder)(block, count, b"A%B:", 998, END)
    found = compile_together(encoder)(block, count, b"A%B:", 998, END)
    assert together is None or together is (found is not None)
    assert found in (None, each)
    assert compile_rows(encoder)(block, count, b"A%B:", 998, END) == each
    lines = each.splitlines(keepends=True)
    assert len(lines) == count and all(line.endswith(b"%08d" % n + END) for n, line in enumerate(lines, 999))
    return lines


def both(
    database: Database, table: str, key: list[str], *, keyless: bool = False, together: bool | None = True
) -> list[bytes]:
    """The lines of a table's rows, all in one block; and the same of each row alone."""
    columns = database.execute(
        "SELECT a.attname::text, CASE WHEN typtype = 'd' THEN typbasetype ELSE t.oid END::bigint FROM pg_attribute a"
        " JOIN pg_type t ON t.oid = atttypid WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        (table,),
    )
    encoder = Encoder('public.o"dd 5%d', [Column(name, oid) for name, oid in columns], key, keyless=keyless)
    block = copied(database, table)
    found = encoded(encoder, block, together=together)
    assert all(json.loads(line) for line in found)
    for row in block.split(b"\n"):
        encoded(encoder, row, together=None)
    return found


def test_every_type_is_encoded_together_as_alone(database: Database):
    made = ", ".join(f'"c {number}" {kind}' for number, kind in enumerate(VALUES))
    database.execute(f"CREATE TABLE t ({made})")
    marks = ", ".join(["%s"] * len(VALUES))
    database.execute(f"INSERT INTO t VALUES ({marks})", tuple(VALUES.values()))
    database.execute(f"INSERT INTO t VALUES ({marks})", (None,) * len(VALUES))
    every = [f"c {number}" for number in range(len(VALUES))]
    first, second = both(database, "t", every)
    assert b'"Key":{"c 0":-32768,' in first and b'"Position":"A%B:00000999","End":1}}' in first
    assert b'"Key":{"c 0":null,' in second
    assert len(both(database, "t", [])) == len(both(database, "t", every, keyless=True)) == 2


def test_every_sign_of_a_text_is_encoded_together_as_alone(database: Database):
    database.execute("""CREATE DOMAIN word AS text; CREATE TABLE t (d word PRIMARY KEY, "it's ""k"" %% \\" text)""")
    database.execute("INSERT INTO t SELECT d, d FROM unnest(%s::text[]) AS d", (ODD,))
    found = both(database, "t", ["d", 'it\'s "k" % \\'], together=False)
    assert {json.loads(line)["data"]["d"] for line in found} == set(ODD)
    database.execute("CREATE TABLE most AS SELECT * FROM t WHERE d !~ E'[\\x01-\\x07\\x0b\\x0e-\\x1f]'")
    assert len(both(database, "most", ["d"])) > 100


def test_numbers_keep_their_digits(database: Database):
    for name, numbers in {"digits": ("1e308", "-0.000", "12345678901234567890.123", "1e-20"), "words": WORDS}.items():
        database.execute(f"CREATE TABLE {name} (n numeric, f float8, r float4)")
        database.execute(f"INSERT INTO {name} SELECT n::numeric, n::float8 FROM unnest(%s) AS n", ([*numbers],))
        database.execute(f"INSERT INTO {name} VALUES (1e400, 1e300, 3e38), (NULL, NULL, NULL)")
        lines = both(database, name, [], together=name == "digits")
        assert len(lines) == len(numbers) + 2


def test_json_stays_as_it_is(database: Database):
    for number, text in enumerate(JSONS):
        plain = "\\" not in text and text.strip() != "null"
        database.execute(f"CREATE TABLE t{number} (j, k) AS VALUES (%s::json, NULL), (NULL, '[1]'::jsonb)", (text,))
        first, second = both(database, f"t{number}", [], together=plain)
        assert text.strip().encode() in first and b'"j":null' in second and b'"k":null' in first
        assert (b'"JsonNull":["j"]' in first) is (text.strip() == "null") and b"JsonNull" not in second


def test_other_types_are_texts(database: Database):
    database.execute("CREATE TYPE mood AS ENUM ('ok'); CREATE TYPE pair AS (a int, b text)")
    columns = ", ".join(f"v{number} {kind}" for number, kind in enumerate(OTHERS))
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    database.execute(
        f"INSERT INTO t VALUES (1, {', '.join(['%s'] * len(OTHERS))}); INSERT INTO t VALUES (2)", (*OTHERS.values(),)
    )
    lines = [[*json.loads(line)["data"].values()][1:] for line in both(database, "t", ["id"])]
    texts = ", ".join(f"v{number}::text" for number in range(len(OTHERS)))
    assert lines == [[*row] for row in database.execute(f"SELECT {texts} FROM t ORDER BY id")]


PARTS = [b"", b"a", b"t", b"N", b"\\\\", b"\\\\N", b"\\t", b"\\n", b"\\b", b"\\v", b"\\\\v", b'"', b'":', b"\x01",
         b"\x7f", "é\u2028".encode(), b"null", b"%08d", b"NaN"]  # fmt: skip
OIDS = (25, 25, 17, 23, 1700, 16, 114, 1184)


def value(chance: random.Random, oid: int) -> bytes:
    """A value as COPY writes it, rarely an odd one."""
    if chance.random() < 0.15:
        return b"\\N"
    odd = chance.random() < 0.1
    match form_of(oid).value:
        case "raw":
            return b"%d" % chance.randrange(-9, 99)
        case "number":
            return b"-Infinity" if odd and chance.random() < 0.2 else b"%d.50" % chance.randrange(99)
        case "boolean":
            return chance.choice((b"t", b"f"))
        case "bytes":
            return b"\\\\x" + chance.randbytes(chance.randrange(3)).hex().encode()
        case "json":
            odds = (b"null", b'"\\\\u0000"', b"{}\\n")
            return chance.choice(odds if odd else (b'{"a": "b"}', b"[null]"))
        case "plain":
            return b"2026-01-01 00:00:00+00"
    return b"".join(chance.choices(PARTS if odd else [b"a", b'"', b"\\\\", b"\\n"], k=chance.randrange(5)))


def test_any_rows_are_encoded_together_as_alone():
    chance = random.Random(7)
    fast = 0
    for _ in range(1200):
        oids = chance.choices(OIDS, k=chance.randrange(1, 6))
        encoder = Encoder("t", [Column(f'":\\N{at}', oid) for at, oid in enumerate(oids)], ['":\\N0'])
        rows = [b"\t".join([value(chance, oid) for oid in oids]) for _ in range(chance.randrange(1, 5))]
        block = b"\n".join(rows)
        for row, line in zip(rows, encoded(encoder, block, together=None), strict=True):
            data = json.loads(line)["data"].values()
            for oid, field, found in zip(oids, row.split(b"\t"), data, strict=True):
                text = None if field == b"\\N" else unescape(field).decode()
                if form_of(oid).value in ("text", "plain", "bytes"):
                    assert found == text
        fast += compile_together(encoder)(block, len(rows), b"", 0, END) is not None
    assert 200 < fast < 1100
