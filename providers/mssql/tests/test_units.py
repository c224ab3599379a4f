"""Small parts on their own: connection strings, durations, names, pace, positions, the driver's private names."""

from __future__ import annotations

import inspect

import pytest

from dstream_mssql.connection_string import Target, parse
from dstream_mssql.decoder import Decoder
from dstream_mssql.lsn import from_hex, from_log, to_bytes, to_hex
from dstream_mssql.names import Table, parse_pattern, parse_table, quote
from dstream_mssql.poll_schedule import PollSchedule
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.tds_rows import WireColumn
from dstream_sdk import InvalidError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Server=db;Database=shop;UID=a;PWD=b", Target("db", "shop", user="a", password="b")),
        (
            'Data Source=tcp:db.example.com,1444;Initial Catalog=shop;User ID=a;Password="x;y=""z""";Encrypt=no',
            Target("db.example.com", "shop", 1444, user="a", password='x;y="z"', encrypt=False),
        ),
        (
            "Driver={ODBC Driver 18};Server=db\\INST;Database=shop;UID=a;PWD={p}}w;};TrustServerCertificate=yes",
            Target("db", "shop", None, "INST", user="a", password="p}w;", trust=True, ignored=("Driver",)),
        ),
        (
            "sqlserver://a:p%40ss@db:1444?database=shop&encrypt=disable",
            Target("db", "shop", 1444, user="a", password="p@ss", encrypt=False),
        ),
        (
            (
                "Server=db.database.windows.net;Database=shop;Authentication=Active Directory "
                "Default;ApplicationIntent=ReadOnly"
            ),
            Target("db.database.windows.net", "shop", authentication="default", read_only=True),
        ),
        (
            "Server=.;Database=shop;User Id=a;Password=;Connection Timeout=5;Application Name=x;",
            Target("localhost", "shop", user="a", timeout=5, application="x"),
        ),
    ],
)
def test_connection_strings_of_all_styles_name_a_target(text: str, expected: Target):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Server is missing"),
        ("Server=db;UID=a;PWD=secret", "Database is missing"),
        ("Server=db;Database=s", "User ID is missing"),
        ("Server=db;Database=s;Trusted_Connection=yes", "Windows logins"),
        ("Server=db;Database=s;UID=a;Encrypt=strict", "TDS 8.0"),
        ("Server=db;Database=s;UID=a;Encrypt=perhaps", "yes or no"),
        ("Server=db,port;Database=s;UID=a", "port"),
        ("Server=db;Database=s;Authentication=ActiveDirectoryInteractive", "without user interaction"),
        ("Server=db;Database=s;UID=a;Colour=red", "'Colour' is not a supported key"),
        ("Server=db;Database=s;UID=a;Connection Timeout=soon", "timeout"),
        ("just words secret", "key=value"),
        ("sqlserver://a:b@db:x/?database=s", "URL"),
    ],
)
def test_a_wrong_connection_string_is_explained_without_its_values(text: str, words: str):
    with pytest.raises(ValueError, match=words) as raised:
        parse(text)
    assert "secret" not in str(raised.value)


def test_names_mean_dbo_without_a_schema_and_are_written_without_it():
    assert parse_table("Orders") == Table("dbo", "Orders")
    assert str(parse_table("DBO.Orders")) == "Orders"
    assert str(parse_table("sales.Items")) == "sales.Items"
    assert parse_table("[a.b].[c]]d]") == Table("a.b", "c]d")
    assert parse_table('"x y"') == Table("dbo", "x y")
    assert quote("c]d") == "[c]]d]"
    for text in ("a.b.c", "", "[x", ".a", "a."):
        with pytest.raises(ValueError, match="not a table name"):
            parse_pattern(text)
    with pytest.raises(ValueError, match="several"):
        parse_table("Or*")
    assert parse_pattern("[a*b]").wild is False, "in brackets a star is a star"


def test_the_pace_doubles_up_to_its_longest_and_is_short_again_after_something_was_found():
    pace = PollSchedule(1.0, 5.0)
    waits = []
    for _ in range(5):
        pace.idle(100.0)
        waits.append(pace.due - 100.0)
    assert waits == [1, 2, 4, 5, 5]
    pace.found(100.0, more=False)
    assert pace.due == 101.0
    pace.found(100.0, more=True)
    assert pace.due == 100.0


def test_positions_travel_and_tables_at_rest_share_the_position_of_the_database():
    position = TablePosition("dbo_Orders", 7, 0x2D, None)
    tables = {"dbo.Orders": position, "dbo.Items": TablePosition("i", 8, 0x2C, 0x99, 3, True, 5, True)}
    position = Position("shop", "g", 0x2D, tables)
    value = position.to_json()
    assert value["tables"]["dbo.Orders"] == {"instance": "dbo_Orders", "id": 7}
    assert Position.from_json(value) == position
    for broken in ({}, {"lsn": 5}, {**value, "tables": {"x": {}}}, {**value, "lsn": "no"}):
        with pytest.raises(InvalidError, match="Not a checkpoint"):
            Position.from_json(broken)


def test_a_checkpoint_of_five_hundred_tables_at_rest_stays_small():
    import json

    tables = {
        f"schema_of_sales.table_number_{n}": TablePosition(f"schema_of_sales_table_number_{n}", n, 5)
        for n in range(500)
    }
    assert len(json.dumps(Position("shop", "g", 5, tables).to_json())) < 64 * 1024


def test_log_sequence_numbers():
    lsn = from_log("0000004c:00002820:0003")
    assert to_hex(lsn) == "0000004c000028200003"
    assert from_hex("0x0000004C000028200003") == lsn
    assert int.from_bytes(to_bytes(lsn), "big") == lsn


def test_the_driver_still_has_the_private_names_that_we_touch():
    import pytds
    import pytds.tls
    from pytds import tds_base, tds_reader, tds_session, tds_types

    for name in ("OPENSSL_AVAILABLE", "create_context", "establish_channel", "revert_to_clear"):
        assert hasattr(pytds.tls, name)
    source = inspect.getsource(tds_reader._TdsReader)
    for name in (
        "self._buf",
        "self._bufview",
        "self._pos",
        "self._size",
        "self._status",
        "self._transport",
        "_read_packet",
    ):
        assert name in source
    session = inspect.getsource(tds_session._TdsSession)
    for name in ("self._reader", "self._writer", "self.res_info", "def next_row", "tls.establish_channel(self)"):
        assert name in session
    assert "tls.revert_to_clear(self._main_session)" in inspect.getsource(pytds.tds_socket)
    assert "_session" in inspect.getsource(pytds.cursor.BaseCursor)
    for name in ("NVarCharMaxSerializer", "VarCharMaxSerializer", "VarBinarySerializerMax"):
        assert hasattr(tds_types, name)
    assert tds_base.PacketType.PRELOGIN == 18
    assert "sock" in inspect.signature(pytds.connect).parameters


class Pieces:
    """Bytes of a result as they come; None breaks the connection."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.columns = (WireColumn("Id", 0x38), WireColumn("Name", 0xE7, length=20))
        self.rest = b""
        self.given_back: bytes | None = None
        self._pieces = list(pieces)

    def take(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if piece is None:
            raise ConnectionError
        return piece

    def end(self, rest: bytes) -> None:
        self.given_back = rest


def row(number: int, name: str) -> bytes:
    text = name.encode("utf-16-le")
    return b"\xd1" + number.to_bytes(4, "little") + len(text).to_bytes(2, "little") + text


DONE = b"\xfd" + bytes(12)


def test_rows_are_decoded_wherever_the_bytes_are_cut():
    everything = row(1, "one") + row(2, "") + b"\xd2\x02" + (3).to_bytes(4, "little") + row(4, "four") + DONE
    whole = [(b'"Id":1,"Name":"one"', None), (b'"Id":2,"Name":""', None), (b'"Id":3,"Name":null', None)]
    whole.append((b'"Id":4,"Name":"four"', None))
    for cut in range(1, len(everything) - len(DONE)):
        source = Pieces(everything[:cut], everything[cut:])
        decoder = Decoder(source.columns, [])
        assert decoder.all(source) == whole, cut  # type: ignore[arg-type]  # it takes and ends as RowBytes does
        assert source.given_back == DONE


def test_half_a_row_that_came_before_a_break_is_not_taken_for_the_beginning_of_the_next_result():
    broken = Pieces(row(1, "one") + row(2, "two")[:7], None)
    decoder = Decoder(broken.columns, [])
    with pytest.raises(ConnectionError):
        decoder.all(broken)  # type: ignore[arg-type]  # it takes and ends as RowBytes does
    again = Pieces(row(1, "one") + row(2, "two") + DONE)
    assert [data for data, _ in decoder.all(again)] == [b'"Id":1,"Name":"one"', b'"Id":2,"Name":"two"']  # type: ignore[arg-type]  # as above
