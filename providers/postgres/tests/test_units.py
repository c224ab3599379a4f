"""Small parts: names, positions, visibility, settings, encoder, rows."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream_postgres.encoder import Column, Encoder
from dstream_postgres.lsn import format_lsn, parse_lsn, position_prefix
from dstream_postgres.names import Table, parse_table, table_named
from dstream_postgres.position import UNREAD, LogMark, Position, TableSnapshot, Visibility
from dstream_postgres.rows import NotARow, Operation, parse_row
from dstream_postgres.settings import object_name
from dstream_sdk import InvalidError


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("orders", Table("public", "orders")),
        ("Orders", Table("public", "Orders")),
        ("sales.orders", Table("sales", "orders")),
        ('"a.b"."c ""d"""', Table("a.b", 'c "d"')),
        ('sales."a.b"', Table("sales", "a.b")),
    ],
)
def test_a_table_is_read_as_it_is_spelled(text: str, table: Table):
    assert parse_table(text) == table
    assert parse_table(table.sql) == table
    assert parse_table(table.spelled) == table


PARTS = st.text('a."% A', min_size=1)


@given(PARTS, PARTS)
def test_every_table_is_read_back_from_its_spelling_and_from_the_name_in_envelopes(schema: str, name: str):
    table = Table(schema, name)
    assert parse_table(table.spelled) == table
    assert table_named(str(table)) == table


@given(PARTS, PARTS, PARTS, PARTS)
def test_two_tables_never_share_a_name_in_envelopes(schema: str, name: str, other_schema: str, other: str):
    tables = {Table(schema, name), Table(other_schema, other)}
    assert len({str(table) for table in tables}) == len(tables)


@pytest.mark.parametrize("text", ["", "a.b.c", '"open', ".", "a."])
def test_what_is_not_a_table_is_refused(text: str):
    with pytest.raises(ValueError, match="not the name of a table"):
        parse_table(text)


def test_names_of_slots_are_made_of_what_a_slot_may_have():
    assert object_name("orders-to-lake") == "dstream_orders_to_lake"
    assert object_name("") == "dstream"
    odd = [object_name(task) for task in ('t["a"]', 't["b"]', "ü" * 80, "x" * 80, "x" * 81)]
    assert len(set(odd)) == len(odd)
    assert all(len(name) <= 63 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for name in odd)


@given(st.integers(0, 2**64 - 1))
def test_positions_print_and_parse(lsn: int):
    assert parse_lsn(format_lsn(lsn)) == lsn


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_position_in_an_envelope_sorts_as_the_log_does(one: int, other: int):
    assert (position_prefix(one) < position_prefix(other)) == (one < other)


@given(st.integers(2**31, 2**40), st.sets(st.integers(0, 99)), st.integers(-1000, 1000))
def test_visibility_knows_the_stream_s_short_ids_across_a_wraparound(xmin: int, offsets: set[int], distance: int):
    running = {xmin + offset for offset in offsets}
    seen = Visibility.parse(f"{xmin}:{xmin + 100}:{','.join(map(str, sorted(running)))}")
    xid = xmin + distance
    wanted = xid < xmin + 100 and xid not in running
    assert seen.sees(xid % 2**32) == wanted


def test_a_position_survives_its_json():
    position = Position(
        "7", 1, "s", 5, "p", 9, 77, {"public.t": 4}, {"public.t": UNREAD, "public.u": TableSnapshot("1:5:3", 80)},
        {"public.t": 16400}, "731", ("insert",), LogMark(8192, 9000, "ab"),
    )  # fmt: skip
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position
    position = replace(position, tables={})
    read = TableSnapshot("1:5:3", 80)
    assert position.with_table("public.t", read).at(79).tables
    assert not position.with_table("public.t", read).at(80).tables


def test_positions_of_very_many_tables_fit_into_a_checkpoint_and_too_many_are_refused():
    choose = random.Random(1)
    names = ["".join(choose.choices("abcdefghijklmnopqrstuvwxyz0123456789_", k=63)) for _ in range(4000)]
    oids = [choose.randrange(16384, 1 << 32) for _ in names]

    def position(count: int) -> Position:
        members = dict(zip(names[:count], oids, strict=False))
        running = "1000:2000:" + ",".join(str(choose.randrange(1000, 2000)) for _ in range(200))
        tables = dict.fromkeys(names[: count // 2], TableSnapshot(running, 77))
        return Position("7", 1, "s", 5, "p", 9, 77, members, {**tables, names[0]: UNREAD}, members)

    many = position(1500)
    text = json.dumps(many.to_json())
    assert len(text) < 64 * 1024
    assert Position.from_json(json.loads(text), names) == many
    fewer = Position.from_json(json.loads(text), names[:700])
    assert fewer.members == position(700).members
    with pytest.raises(InvalidError, match="Split the task"):
        position(4000).to_json()


def tuple_of(*values: str | None) -> bytes:
    parts = []
    for value in values:
        if value is None:
            parts.append(b"n")
        else:
            raw = value.encode()
            parts.append(b"t" + struct.pack(">I", len(raw)) + raw)
    return b"".join(parts)


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@given(
    st.lists(
        st.tuples(texts.filter(bool), st.one_of(st.none(), texts)), min_size=1, max_size=6, unique_by=lambda x: x[0]
    ),
    st.integers(0, 5),
    texts,
)
def test_the_compiled_encoder_and_the_general_one_write_the_same_line(
    columns: list[tuple[str, str | None]], keys: int, table: str
):
    names = [name for name, _ in columns]
    encoder = Encoder(table, [Column(name, 25) for name in names], names[:keys])
    raw = tuple_of(*(value for _, value in columns))
    line = encoder.insert(raw, 0, b"P/", 7, b'","TransactionID":1}}\n')
    values, end = encoder.values(raw, 0)
    assert end == len(raw)
    assert line == encoder.line("Insert", values, b'P/00000007","TransactionID":1}}\n')
    assert line is not None
    assert line.count(b"\n") == 1
    parsed = json.loads(line)
    assert parsed["data"] == dict(columns)
    assert parsed["metadata"]["TableName"] == table
    assert parsed["metadata"].get("Key", {}) == dict(columns[:keys])


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_numbers_keep_their_digits(number: Decimal):
    text = "NaN" if number.is_nan() else str(number).replace("E+", "e+") if number.is_finite() else str(number)
    encoder = Encoder("t", [Column("n", 1700)], ())
    line = encoder.insert(tuple_of(text), 0, b"", 1, b'"}}\n')
    assert line is not None
    value = json.loads(line, parse_float=Decimal, parse_int=Decimal)["data"]["n"]
    assert value == number if number.is_finite() else value == text


def envelope(data: str, metadata: str) -> bytes:
    return b'{"data":' + data.encode() + b',"metadata":' + metadata.encode() + b"}"


def test_values_are_cut_out_of_an_envelope_as_they_are_written():
    data = '{"a":1.50,"b":"x\\",\\"metadata\\":{","metadata":{"n":12345678901234567890.10}}'
    row = parse_row(envelope(data, '{"TableName":"t","OperationType":"Insert","Key":{"a":1.50}}'), {})
    assert {name: bytes(value) for name, value in row.data.items()} == {
        "a": b"1.50", "b": b'"x\\",\\"metadata\\":{"', "metadata": b'{"n":12345678901234567890.10}',
    }  # fmt: skip
    assert row.key == b"1.50"


def test_key_columns_named_metadata_and_members_in_another_order_are_read_all_the_same():
    row = parse_row(envelope('{"metadata":2.50}', '{"TableName":"t","Key":{"x":1,"metadata":2}}'), {})
    assert (row.key_columns, row.key) == (("x", "metadata"), b"1\t2")
    swapped = b'{"metadata":{"TableName":"t","OperationType":"Delete","Key":{"id":1}},"data":{"id":1}}'
    row = parse_row(swapped, {})
    assert (row.columns, row.operation, row.key) == (("id",), Operation.DELETE, b"1")


@pytest.mark.parametrize(
    "value",
    ["1e400", "-1e-9999999999999999999", '"\\ud800"', "[" * 1100 + "]" * 1100, '{"a":"\\u0000","b":[{}]}', '"\\u0000"'],
)
def test_values_that_parsers_refuse_are_cut_out_as_well(value: str):
    row = parse_row(envelope(f'{{"id":7,"v":{value},"w":null}}', '{"TableName":"t","Key":{"id":7}}'), {})
    assert {name: bytes(text) for name, text in row.data.items()} == {"id": b"7", "v": value.encode(), "w": b"null"}
    assert (row.key_columns, row.key) == (("id",), b"7")


def test_large_keys_are_not_rounded_into_one():
    lines = [envelope(f'{{"id":{n}}}', f'{{"TableName":"t","Key":{{"id":{n}}}}}') for n in (10**30, 10**30 + 1)]
    assert len({parse_row(line, {}).key for line in lines}) == 2


@pytest.mark.parametrize(
    "line",
    [
        b'{"data":{"a":NaN}}',
        b'{"data":{"a":"\\ud800"} 1}',
        b'{"data":{"a":"\\ud800","b":01}}',
        b"{",
        b"[]",
        b'{"data":1}',
        b'{"metadata":{}}',
        b'{"data":{},"metadata":{"OperationType":"Odd"}}',
    ],
)
def test_what_is_no_row_is_refused(line: bytes):
    with pytest.raises(NotARow):
        parse_row(line, {})
