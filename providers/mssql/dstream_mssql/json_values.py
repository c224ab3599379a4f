"""JSON values: converts the bytes of each SQL type to JSON without loss.

    tinyint ... bigint                        a number
    decimal, numeric, money, smallmoney       a number with all its digits (parse it as a decimal to keep them)
    real, float                               a number that parses to the same value
    bit                                       true, false
    date, time, datetime, datetime2 ...       a string in ISO form, with as many digits as the type has
    datetimeoffset                            the same with its offset
    uniqueidentifier                          a string in upper case, as SQL Server prints it
    binary, varbinary, rowversion             a string of hexadecimal digits that begins with 0x
    sql_variant                               as its base type
    everything else                           a string

With `values = "string"` numbers and booleans are strings of the same text. NULL is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from struct import Struct

import orjson

from dstream_mssql.tds_rows import WireColumn

NULL = b"null"
Encoder = Callable[[bytes], bytes]

BIT, BITN, INT1, INT2, INT4, INT8, INTN = 0x32, 0x68, 0x30, 0x34, 0x38, 0x7F, 0x26
REAL, FLOAT, FLOATN, SMALLMONEY, MONEY, MONEYN = 0x3B, 0x3E, 0x6D, 0x7A, 0x3C, 0x6E
SMALLDATETIME, DATETIME, DATETIMEN = 0x3A, 0x3D, 0x6F
DECIMAL, NUMERIC, GUID, DATE, TIME, DATETIME2, DATETIMEOFFSET = 0x6A, 0x6C, 0x24, 0x28, 0x29, 0x2A, 0x2B
NVARCHAR, NCHAR, VARCHAR, CHAR, VARBINARY, BINARY, XML, VARIANT = 0xE7, 0xEF, 0xA7, 0xAF, 0xA5, 0xAD, 0xF1, 0x62
FIXED = {
    BIT: 1,
    INT1: 1,
    INT2: 2,
    INT4: 4,
    INT8: 8,
    REAL: 4,
    FLOAT: 8,
    SMALLMONEY: 4,
    MONEY: 8,
    SMALLDATETIME: 4,
    DATETIME: 8,
}
"""Types that are sent without a length, because the column is NOT NULL."""
BY_BYTE = (INTN, BITN, FLOATN, MONEYN, DATETIMEN, DECIMAL, NUMERIC, GUID, DATE, TIME, DATETIME2, DATETIMEOFFSET)
"""Types whose length is one byte, 0 for NULL."""
BY_SHORT = (NVARCHAR, NCHAR, VARCHAR, CHAR, VARBINARY, BINARY)
"""Types whose length is two bytes, 0xFFFF for NULL; the (max) types are sent in chunks."""

_INT64, _INT32, _FLOAT, _DOUBLE = Struct("<q"), Struct("<i"), Struct("<f"), Struct("<d")
_GUID, _DATETIME, _SMALL = Struct("<IHH"), Struct("<iI"), Struct("<HH")
_SECONDS_A_DAY = 86_400
_EPOCH_1900 = date(1900, 1, 1).toordinal()


def encoder_of(column: WireColumn, *, strings: bool = False) -> Encoder:
    """Return the function that converts the bytes of a column's values to JSON. Raises LookupError for other types."""
    form = _encoder(column.kind, column.scale)
    if strings and column.kind in _UNQUOTED:
        return lambda raw: b'"' + form(raw) + b'"'
    return _variant_as_string if strings and column.kind == VARIANT else form


def _encoder(kind: int, scale: int) -> Encoder:
    if kind in (DECIMAL, NUMERIC):
        return lambda raw: decimal(raw, scale)
    if kind == TIME:
        return lambda raw: b'"' + clock(int.from_bytes(raw, "little"), scale) + b'"'
    if kind == DATETIME2:
        return lambda raw: b'"' + day(raw[-3:]) + b"T" + clock(int.from_bytes(raw[:-3], "little"), scale) + b'"'
    if kind == DATETIMEOFFSET:
        return lambda raw: datetimeoffset(raw, scale)
    try:
        return _ENCODERS[kind]
    except KeyError:
        raise LookupError(f"values of the type number {kind:#x} cannot be read") from None


def text(raw: bytes) -> bytes:
    """UTF-16."""
    value = raw.decode("utf-16-le", "surrogatepass")
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):  # a lone surrogate, which only an escape can carry
        return json.dumps(value).encode()


def integer(raw: bytes) -> bytes:
    """Integers; tinyint is unsigned."""
    return b"%d" % int.from_bytes(raw, "little", signed=len(raw) > 1)


def boolean(raw: bytes) -> bytes:
    """bit."""
    return b"true" if raw[0] else b"false"


def number(raw: bytes) -> bytes:
    """real and float."""
    if len(raw) == 8:
        return repr(_DOUBLE.unpack(raw)[0]).encode()
    value: float = _FLOAT.unpack(raw)[0]
    for digits in range(6, 10):
        shown = f"{value:.{digits}g}"
        if _FLOAT.pack(float(shown)) == raw:
            break
    return repr(float(shown)).encode()


def scaled(value: int, scale: int) -> bytes:
    """An integer with its decimal point moved `scale` digits to the left."""
    if not scale:
        return b"%d" % value
    digits = b"%0*d" % (scale + 1, abs(value))
    return (b"-" if value < 0 else b"") + digits[:-scale] + b"." + digits[-scale:]


def decimal(raw: bytes, scale: int) -> bytes:
    """decimal and numeric: a sign, and the digits as an integer."""
    value = int.from_bytes(raw[1:], "little")
    return scaled(value if raw[0] else -value, scale)


def money(raw: bytes) -> bytes:
    """money and smallmoney: an integer of ten-thousandths. money has its upper half first."""
    if len(raw) == 8:
        raw = raw[4:] + raw[:4]
    return scaled(int.from_bytes(raw, "little", signed=True), 4)


@lru_cache(4096)
def day(raw: bytes) -> bytes:
    """date: days since 0001-01-01."""
    return date.fromordinal(int.from_bytes(raw, "little") + 1).isoformat().encode()


@lru_cache(4096)
def _day(ordinal: int) -> bytes:
    return date.fromordinal(ordinal).isoformat().encode()


def clock(ticks: int, scale: int) -> bytes:
    """time: units of 10**-scale seconds since midnight."""
    seconds, fraction = divmod(ticks, 10**scale)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    if scale:
        return b"%02d:%02d:%02d.%0*d" % (hour, minute, second, scale, fraction)
    return b"%02d:%02d:%02d" % (hour, minute, second)


def datetimeoffset(raw: bytes, scale: int) -> bytes:
    """datetimeoffset: the time in UTC, and its offset in minutes."""
    ticks = int.from_bytes(raw[:-5], "little")
    days = int.from_bytes(raw[-5:-2], "little") + 1
    offset = int.from_bytes(raw[-2:], "little", signed=True)
    moved, ticks = divmod(ticks + offset * 60 * 10**scale, _SECONDS_A_DAY * 10**scale)
    hours, minutes = divmod(abs(offset), 60)
    zone = b"%c%02d:%02d" % (b"-" if offset < 0 else b"+", hours, minutes)
    return b'"' + _day(days + moved) + b"T" + clock(ticks, scale) + zone + b'"'


def datetime(raw: bytes) -> bytes:
    """datetime (in 300ths of a second, rounded to milliseconds as SQL Server does) and smalldatetime (in minutes)."""
    if len(raw) == 4:
        days, minutes = _SMALL.unpack(raw)
        return b'"' + _day(_EPOCH_1900 + days) + b"T" + clock(minutes * 60, 0) + b'"'
    days, ticks = _DATETIME.unpack(raw)
    return b'"' + _day(_EPOCH_1900 + days) + b"T" + clock((ticks * 10 + 1) // 3, 3) + b'"'


def guid(raw: bytes) -> bytes:
    """uniqueidentifier."""
    last = raw[8:].hex().upper().encode()
    return b'"%08X-%04X-%04X-%b-%b"' % (*_GUID.unpack_from(raw), last[:4], last[4:])


def binary(raw: bytes) -> bytes:
    """binary, varbinary and rowversion."""
    return b'"0x' + raw.hex().upper().encode() + b'"'


def _single_byte(raw: bytes) -> bytes:
    return orjson.dumps(raw.decode("cp1252", "replace"))


def variant(raw: bytes) -> bytes:
    """sql_variant: its base type, that type's properties, and the value."""
    kind, size = raw[0], raw[1]
    properties, value = raw[2 : 2 + size], raw[2 + size :]
    if kind in (DECIMAL, NUMERIC):
        return decimal(value, properties[1])
    scale = properties[0] if kind in (TIME, DATETIME2, DATETIMEOFFSET) else 0
    return _encoder(kind, scale)(value)


def _variant_as_string(raw: bytes) -> bytes:
    found = variant(raw)
    return found if found[:1] == b'"' else b'"' + found + b'"'


_UNQUOTED = {
    BIT, BITN, INT1, INT2, INT4, INT8, INTN, REAL, FLOAT, FLOATN, SMALLMONEY, MONEY, MONEYN, DECIMAL, NUMERIC,
}  # fmt: skip
_ENCODERS: dict[int, Encoder] = {
    **dict.fromkeys((INT1, INT2, INT4, INT8, INTN), integer),
    **dict.fromkeys((BIT, BITN), boolean),
    **dict.fromkeys((REAL, FLOAT, FLOATN), number),
    **dict.fromkeys((SMALLMONEY, MONEY, MONEYN), money),
    **dict.fromkeys((SMALLDATETIME, DATETIME, DATETIMEN), datetime),
    **dict.fromkeys((NVARCHAR, NCHAR, XML), text),
    **dict.fromkeys((VARCHAR, CHAR), _single_byte),
    **dict.fromkeys((VARBINARY, BINARY), binary),
    GUID: guid,
    DATE: lambda raw: b'"' + day(raw) + b'"',
    VARIANT: variant,
}
