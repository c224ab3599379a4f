"""Every SQL type arrives without losing anything, from change tables and from the tables themselves."""

from __future__ import annotations

import json
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest

from dstream_mssql import json_values
from dstream_mssql.tds_rows import WireColumn
from providers.mssql.tests.harness import config_of, read
from tests.services.mssql.server import SqlServer
from tests.services.mssql.types import SqlType

GUID = uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF")
CASES: list[tuple[str, Any, str]] = [
    ("tinyint", 255, "255"),
    ("smallint", -32768, "-32768"),
    ("int", -2147483648, "-2147483648"),
    ("bigint", 9223372036854775807, "9223372036854775807"),
    ("bit", True, "true"),
    ("decimal(37, 10)", Decimal("-123456789012345678901234567.0123456789"), "-123456789012345678901234567.0123456789"),
    ("decimal(5, 0)", Decimal(-7), "-7"),
    ("numeric(4, 4)", Decimal("0.0001"), "0.0001"),
    ("money", Decimal("-922337203685477.5808"), "-922337203685477.5808"),
    ("smallmoney", Decimal("214748.3647"), "214748.3647"),
    ("float", 0.1, "0.1"),
    ("float", 1.7976931348623157e308, "1.7976931348623157e+308"),
    ("real", struct.unpack("<f", struct.pack("<f", 0.1))[0], "0.1"),
    ("date", "0001-01-01", '"0001-01-01"'),
    ("time(7)", "23:59:59.9999999", '"23:59:59.9999999"'),
    ("time(0)", "00:00:01", '"00:00:01"'),
    ("datetime2(7)", "9999-12-31T23:59:59.1234567", '"9999-12-31T23:59:59.1234567"'),
    ("datetime2(3)", "2024-02-29T12:00:00.120", '"2024-02-29T12:00:00.120"'),
    ("datetimeoffset(7)", "2024-03-01T00:30:00.0000001+05:30", '"2024-03-01T00:30:00.0000001+05:30"'),
    ("datetimeoffset(0)", "2023-12-31T20:00:00-08:00", '"2023-12-31T20:00:00-08:00"'),
    ("datetime", "2024-02-29T23:59:59.997", '"2024-02-29T23:59:59.997"'),
    ("datetime", "1753-01-01T00:00:00.003", '"1753-01-01T00:00:00.003"'),
    ("smalldatetime", "2079-06-06T23:59:00", '"2079-06-06T23:59:00"'),
    ("uniqueidentifier", GUID, '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'),
    ("char(5)", "ab", '"ab   "'),
    ("varchar(20)", "Zürich €", '"Zürich €"'),
    ("varchar(8000)", "v" * 5000, '"' + "v" * 5000 + '"'),
    ("varchar(max)", "x" * 30_000, '"' + "x" * 30_000 + '"'),
    ("nchar(3)", "é", '"é  "'),
    ("nvarchar(50)", '"quoted" \\ \n 😀', json.dumps('"quoted" \\ \n 😀', ensure_ascii=False)),
    ("nvarchar(max)", "日本" * 20_000, '"' + "日本" * 20_000 + '"'),
    ("nvarchar(10)", "\ud800 alone", '"\\ud800 alone"'),
    ("nvarchar(10)", "", '""'),
    ("text", "old text", '"old text"'),
    ("ntext", "older ☃", '"older ☃"'),
    ("image", b"\x00\x01", '"0x0001"'),
    ("binary(4)", b"\x01\x02", '"0x01020000"'),
    ("varbinary(10)", b"\xde\xad", '"0xDEAD"'),
    ("varbinary(max)", b"\xff" * 20_000, '"0x' + "FF" * 20_000 + '"'),
    ("rowversion", (2001).to_bytes(8, "big"), '"0x00000000000007D1"'),
    ("xml", "<a b=\"1\">ü</a>", '"<a b=\\"1\\">ü</a>"'),
    ("hierarchyid", "/1/2/", '"/1/2/"'),
    ("geography", bytes.fromhex("E6100000010C"), '"0xE6100000010C"'),
    ("sql_variant", (SqlType("int"), 42), "42"),
    ("sql_variant", (SqlType("decimal", precision=10, scale=2), Decimal("1.50")), "1.50"),
    ("sql_variant", (SqlType("nvarchar", 10), "text"), '"text"'),
    ("sql_variant", (SqlType("varchar", 10), "tüxt"), '"tüxt"'),
    ("sql_variant", (SqlType("datetime2", scale=7), "2024-01-01T00:00:00.1234567"), '"2024-01-01T00:00:00.1234567"'),
    ("sql_variant", (SqlType("uniqueidentifier"), GUID), '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'),
]  # fmt: skip


def values(line: bytes) -> list[str]:
    """The texts of the members of `data`, as they stand in the line."""
    parsed = json.loads(line, parse_float=Text, parse_int=Text)
    members = [value for name, value in parsed["data"].items() if name != "Id"]
    return [str(value) if isinstance(value, Text) else json.dumps(value, ensure_ascii=False) for value in members]


class Text(str):
    """A number as it is written."""


def test_all_types_from_a_change_table_and_from_the_table_itself(server: SqlServer):
    database = server.create_database("shop")
    columns = ", ".join(f"C{number} {kind}" for number, (kind, _, _) in enumerate(CASES))
    database.create_table("Everything", f"Id int primary key, {columns}")
    database.cdc.enable_table("Everything")
    with database.transaction() as t:
        t.insert_rows("Everything", [(1, *(value for _, value, _ in CASES)), (2, *(None for _ in CASES))])
    changed = read(config_of(server, "Everything"))
    snapshot = read(config_of(server, "Everything", snapshot="initial"))
    for run, operation in ((changed, "Insert"), (snapshot, "Read")):
        assert [one["metadata"]["OperationType"] for one in run.envelopes] == [operation] * 2
        lines = [line for line in run.lines if line.startswith(b'{"data"')]
        expected = [
            json.dumps(json.loads(text), ensure_ascii=False) if text[0] == '"' else text for _, _, text in CASES
        ]
        found = values(lines[0])
        for (kind, _, _), wanted, got in zip(CASES, expected, found, strict=True):
            assert got == wanted, (operation, kind, got[:80])
        assert values(lines[1]) == ["null"] * len(CASES)


def test_columns_that_are_not_null_travel_without_a_length_and_arrive_the_same(server: SqlServer):
    database = server.create_database("shop")
    kinds = (
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "bit",
        "real",
        "float",
        "money",
        "smallmoney",
        "datetime",
        "smalldatetime",
    )
    row = (
        1,
        2,
        3,
        4,
        True,
        0.5,
        1.5,
        Decimal("2.5000"),
        Decimal("3.5000"),
        "2024-01-02T03:04:05.007",
        "2024-01-02T03:04:00",
    )
    columns = ", ".join(f"C{number} {kind} not null" for number, kind in enumerate(kinds))
    database.create_table("Plain", f"Id int primary key, {columns}")
    database.cdc.enable_table("Plain")
    with database.transaction() as t:
        t.insert_rows("Plain", [(1, *row)])
    run = read(config_of(server, "Plain", snapshot="initial"))
    assert list(run.envelopes[0]["data"].values()) == [
        1, 1, 2, 3, 4, True, 0.5, 1.5, 2.5, 3.5, "2024-01-02T03:04:05.007", "2024-01-02T03:04:00"
    ]  # fmt: skip


def test_values_as_strings_are_the_same_texts(server: SqlServer):
    database = server.create_database("shop")
    database.create_table("T", "Id int primary key, D decimal(10, 2), B bit, F float, N nvarchar(5), V sql_variant")
    database.cdc.enable_table("T")
    with database.transaction() as t:
        t.insert("T", Id=1, D="1.50", B=False, F=0.1, N=None, V=(SqlType("int"), 5))
    run = read(config_of(server, "T", values="string"))
    assert run.envelopes[0]["data"] == {"Id": "1", "D": "1.50", "B": "false", "F": "0.1", "N": None, "V": "5"}
    assert run.envelopes[0]["metadata"]["Key"] == {"Id": "1"}


@pytest.mark.parametrize("text", ["1.4013e-45", "3.4028235e+38", "16777216.0", "-0.1", "1.1754944e-38"])
def test_a_real_is_a_short_number_that_is_the_same_again(text: str):
    raw = struct.pack("<f", float(text))
    shown = json_values.number(raw).decode()
    assert struct.pack("<f", float(shown)) == raw
    assert float(shown) == float(text)


def test_a_type_that_is_not_known_is_named():
    with pytest.raises(LookupError, match="0xf3"):
        json_values.encoder_of(WireColumn("c", 0xF3))


def test_a_value_larger_than_many_packets_and_rows_around_it(server: SqlServer):
    database = server.create_database("shop")
    database.create_table("Files", "Id int primary key, Body varbinary(max)")
    database.cdc.enable_table("Files")
    with database.transaction() as t:
        t.insert("Files", Id=1, Body=b"a")
        t.insert("Files", Id=2, Body=b"\x42" * 3_000_000)
        t.insert("Files", Id=3, Body=None)
    run = read(config_of(server, "Files"))
    assert [len(one["data"]["Body"] or "") for one in run.envelopes] == [4, 6_000_002, 0]
