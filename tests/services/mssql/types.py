"""SQL Server's data types on the wire: how a column is described, and how a value is sent, as MS-TDS 7.4 says.

Values in the model are Python's: int, bool, float, Decimal, str, bytes, UUID. Dates and times are text in ISO form with
all their digits, since Python has no type of 100 ns. A sql_variant is a pair (SqlType, value); hierarchyid is its text.
"""

from __future__ import annotations

import re
import struct
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

COLLATION = bytes.fromhex("0904d00034")
"""SQL_Latin1_General_CP1_CI_AS: varchar is Windows-1252."""

_EXACT = Context(prec=80)
_DECLARATION = re.compile(r"\s*(\w+)\s*(?:\(\s*(\w+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)
_ALIASES = {
    "integer": "int",
    "dec": "decimal",
    "timestamp": "rowversion",
    "double": "float",
    "numeric": "decimal",
    "boolean": "bit",
    "uuid": "uniqueidentifier",
    "timestamptz": "datetimeoffset",
}
_FIXED = {  # name: (fixed type, nullable type, length)
    "tinyint": (0x30, 0x26, 1),
    "smallint": (0x34, 0x26, 2),
    "int": (0x38, 0x26, 4),
    "bigint": (0x7F, 0x26, 8),
    "bit": (0x32, 0x68, 1),
    "real": (0x3B, 0x6D, 4),
    "float": (0x3E, 0x6D, 8),
    "smallmoney": (0x7A, 0x6E, 4),
    "money": (0x3C, 0x6E, 8),
    "smalldatetime": (0x3A, 0x6F, 4),
    "datetime": (0x3D, 0x6F, 8),
}
_CLR = {"hierarchyid": 892, "geometry": -1, "geography": -1}


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type. `length` is in characters for n(var)char and bytes otherwise, -1 for max."""

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0

    @property
    def max_length(self) -> int:
        """What sys.columns says."""
        if self.name in ("nchar", "nvarchar", "sysname"):
            return self.length * 2 if self.length > 0 else -1
        if self.name in _FIXED:
            return _FIXED[self.name][2]
        if self.name == "decimal":
            return _decimal_bytes(self.precision) + 1
        sizes = {"uniqueidentifier": 16, "rowversion": 8, "date": 3, "sql_variant": 8016, "xml": -1}
        sizes |= {"text": 16, "ntext": 16, "image": 16, **_CLR}
        if self.name in ("time", "datetime2", "datetimeoffset"):
            return _time_bytes(self.scale) + {"time": 0, "datetime2": 3, "datetimeoffset": 5}[self.name]
        return sizes.get(self.name, self.length)


@lru_cache(None)
def parse_type(text: str) -> SqlType:
    """A type from its declaration, such as `decimal(18, 4)` or `nvarchar(max)`. ValueError for no type."""
    found = _DECLARATION.fullmatch(text)
    if found is None:
        raise ValueError(f"not a type: {text!r}")
    name, first, second = found.groups()
    name = _ALIASES.get(name.lower(), name.lower())
    if name == "sysname":
        return SqlType("nvarchar", 128)
    if name in _FIXED or name in ("uniqueidentifier", "date", "sql_variant", "xml", "text", "ntext", "image", *_CLR):
        return SqlType(name, precision=_PRECISION.get(name, 0), scale=4 if "money" in name else 0)
    if name == "rowversion":
        return SqlType(name, 8)
    if name == "decimal":
        return SqlType(name, precision=int(first or 18), scale=int(second or 0))
    if name in ("time", "datetime2", "datetimeoffset"):
        return SqlType(name, scale=int(first or 7))
    if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return SqlType(name, -1 if (first or "").lower() == "max" else int(first or 30))
    raise ValueError(f"not a type: {text!r}")


_PRECISION = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19, "bit": 1, "money": 19, "smallmoney": 10}


def _time_bytes(scale: int) -> int:
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def _decimal_bytes(precision: int) -> int:
    return 4 if precision <= 9 else 8 if precision <= 19 else 12 if precision <= 28 else 16


def type_info(kind: SqlType, nullable: bool) -> bytes:
    """TYPE_INFO of a column."""
    name = kind.name
    if name in _FIXED:
        fixed, nullable_type, length = _FIXED[name]
        return bytes((nullable_type, length)) if nullable else bytes((fixed,))
    if name == "decimal":
        return bytes((0x6C, _decimal_bytes(kind.precision) + 1, kind.precision, kind.scale))
    if name == "uniqueidentifier":
        return bytes((0x24, 16))
    if name == "date":
        return b"\x28"
    if name in _TEMPORAL:
        return bytes((_TEMPORAL[name], kind.scale))
    if name in ("nvarchar", "nchar"):
        size = 0xFFFF if kind.length < 0 else kind.length * 2
        return struct.pack("<BH", 0xE7 if name == "nvarchar" else 0xEF, size) + COLLATION
    if name in ("varchar", "char"):
        size = 0xFFFF if kind.length < 0 else kind.length
        return struct.pack("<BH", 0xA7 if name == "varchar" else 0xAF, size) + COLLATION
    if name in ("varbinary", "binary", "rowversion"):
        size = 0xFFFF if kind.length < 0 else kind.length
        return struct.pack("<BH", 0xA5 if name == "varbinary" else 0xAD, size)
    if name == "xml":
        return b"\xf1\x00"
    if name == "sql_variant":
        return struct.pack("<BI", 0x62, 8016)
    raise ValueError(f"{name} is never sent as it is: cast it")


_TEMPORAL = {"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}


def null(kind: SqlType) -> bytes:
    """NULL in a ROW token."""
    if kind.length < 0 or kind.name == "xml":
        return b"\xff" * 8
    if kind.name == "sql_variant":
        return b"\0\0\0\0"
    return b"\xff\xff" if kind.name in _SIZED else b"\0"


_SIZED = ("nvarchar", "nchar", "varchar", "char", "varbinary", "binary", "rowversion")


def encode(kind: SqlType, nullable: bool, value: Any) -> bytes:
    """A value in a ROW token."""
    if value is None:
        return null(kind)
    name = kind.name
    if name in _FIXED:
        raw = _fixed(name, value)
        return bytes((len(raw),)) + raw if nullable else raw
    if name in _SIZED or name == "xml":
        raw = _bytes_of(kind, value)
        if kind.length < 0 or name == "xml":
            # A length that is known, then one chunk for each 8,000 bytes, as servers do.
            chunks = [raw[at : at + 8000] for at in range(0, len(raw), 8000)]
            return (
                struct.pack("<Q", len(raw)) + b"".join(struct.pack("<I", len(one)) + one for one in chunks) + b"\0" * 4
            )
        return struct.pack("<H", len(raw)) + raw
    if name == "sql_variant":
        return _variant(*value)
    raw = _short(kind, value)
    return bytes((len(raw),)) + raw


def _short(kind: SqlType, value: Any) -> bytes:
    name = kind.name
    if name == "decimal":
        scaled = int(Decimal(value).scaleb(kind.scale, _EXACT))
        return bytes((scaled >= 0,)) + abs(scaled).to_bytes(_decimal_bytes(kind.precision), "little")
    if name == "uniqueidentifier":
        return (value if isinstance(value, uuid.UUID) else uuid.UUID(value)).bytes_le
    if name == "date":
        return _days(value)
    day, time, offset = split_moment(value)
    if name == "time":
        return _ticks(value, kind.scale)
    if name == "datetime2":
        return _ticks(time, kind.scale) + _days(day)
    # datetimeoffset travels in UTC.
    minutes = offset or 0
    ticks = ticks_of(time) - minutes * 60 * 10**7
    days = date.fromisoformat(day).toordinal() - 1 + ticks // _DAY
    return _scaled(ticks % _DAY, kind.scale) + days.to_bytes(3, "little") + struct.pack("<h", minutes)


_DAY = 86_400 * 10**7
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?\s*(Z|[+-]\d\d:\d\d)?")


def split_moment(text: str) -> tuple[str, str, int | None]:
    """Day, time and offset in minutes of an ISO text."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return "1900-01-01", text, None
    day, time, zone = found.groups()
    offset = None
    if zone is not None:
        offset = 0 if zone == "Z" else int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:]))
    return day, time or "00:00:00", offset


def ticks_of(time: str) -> int:
    """100 ns since midnight."""
    clock, _, fraction = time.partition(".")
    hours, minutes, seconds = [*clock.split(":"), "0", "0"][:3]
    return (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 10**7 + int((fraction + "0000000")[:7])


def _scaled(ticks: int, scale: int) -> bytes:
    return (ticks // 10 ** (7 - scale)).to_bytes(_time_bytes(scale), "little")


def _ticks(time: str, scale: int) -> bytes:
    return _scaled(ticks_of(time), scale)


def _days(day: str) -> bytes:
    return (date.fromisoformat(day[:10]).toordinal() - 1).to_bytes(3, "little")


def _fixed(name: str, value: Any) -> bytes:
    if name == "tinyint":
        return bytes((int(value),))
    if name == "bit":
        return bytes((bool(value),))
    if name in ("smallint", "int", "bigint"):
        return int(value).to_bytes(_FIXED[name][2], "little", signed=True)
    if name in ("real", "float"):
        return struct.pack("<f" if name == "real" else "<d", value)
    if name == "smallmoney":
        return int(Decimal(value).scaleb(4, _EXACT)).to_bytes(4, "little", signed=True)
    if name == "money":
        scaled = int(Decimal(value).scaleb(4, _EXACT)) & 0xFFFFFFFFFFFFFFFF
        return struct.pack("<II", scaled >> 32, scaled & 0xFFFFFFFF)
    moment = datetime.fromisoformat(value[:19])
    days = (moment.date() - date(1900, 1, 1)).days
    if name == "smalldatetime":
        return struct.pack("<HH", days, moment.hour * 60 + moment.minute)
    ticks = ticks_of(split_moment(value)[1])
    return struct.pack("<iI", days, round(ticks * 300 / 10**7))


def _bytes_of(kind: SqlType, value: Any) -> bytes:
    if kind.name in ("nvarchar", "nchar", "xml"):
        text = str(value).ljust(kind.length) if kind.name == "nchar" else str(value)
        return text.encode("utf-16-le", "surrogatepass")
    if kind.name in ("varchar", "char"):
        text = str(value).ljust(kind.length) if kind.name == "char" else str(value)
        return text.encode("cp1252", "replace")
    raw = bytes(value)
    return raw.ljust(kind.length, b"\0") if kind.name in ("binary", "rowversion") else raw


def _variant(kind: SqlType, value: Any) -> bytes:
    """The body of a sql_variant: base type, its properties, and the value without a length of its own."""
    name = kind.name
    if name in _FIXED:
        base, properties, raw = _FIXED[name][0], b"", _fixed(name, value)
    elif name == "decimal":
        base, properties, raw = 0x6C, bytes((kind.precision, kind.scale)), _short(kind, value)
    elif name in _TEMPORAL:
        base, properties, raw = _TEMPORAL[name], bytes((kind.scale,)), _short(kind, value)
    elif name in ("date", "uniqueidentifier"):
        base, properties, raw = (0x28 if name == "date" else 0x24), b"", _short(kind, value)
    else:
        raw = _bytes_of(kind, value)
        base = {"nvarchar": 0xE7, "nchar": 0xEF, "varchar": 0xA7, "char": 0xAF, "varbinary": 0xA5, "binary": 0xAD}[name]
        size = struct.pack("<H", max(len(raw), 1))
        properties = size if "binary" in name else COLLATION + size
    body = bytes((base, len(properties))) + properties + raw
    return struct.pack("<I", len(body)) + body


_PARAMETERS = {0x26: "int", 0x68: "bit", 0x6D: "float"}


def read_parameter(data: bytes, at: int) -> tuple[SqlType, Any, int]:
    """A parameter of a remote procedure call: its type, its value, and where it ends."""
    kind, at = data[at], at + 1
    if kind in _PARAMETERS:
        at += 1
        size, at = data[at], at + 1
        raw, at = data[at : at + size], at + size
        sizes = {0: "int", 1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}
        if kind == 0x26:
            value = int.from_bytes(raw, "little", signed=size > 1) if size else None
            return SqlType(sizes[size]), value, at
        if kind == 0x68:
            return SqlType("bit"), bool(raw[0]) if size else None, at
        return SqlType("float"), struct.unpack("<d", raw)[0] if size else None, at
    if kind in (0x6A, 0x6C):
        precision, scale, size = data[at + 1], data[at + 2], data[at + 3]
        raw, at = data[at + 4 : at + 4 + size], at + 4 + size
        value = (
            Decimal(int.from_bytes(raw[1:], "little")).scaleb(-scale, _EXACT) * (1 if raw[0] else -1) if size else None
        )
        return SqlType("decimal", precision=precision, scale=scale), value, at
    if kind in (0xE7, 0xEF, 0xA7, 0xAF, 0xA5, 0xAD):
        (length,) = struct.unpack_from("<H", data, at)
        at += 2 if kind in (0xA5, 0xAD) else 7
        raw_value, at = _read_sized(data, at, length == 0xFFFF)
        if kind in (0xA5, 0xAD):
            return SqlType("varbinary", -1 if length == 0xFFFF else length), raw_value, at
        codec = "utf-16-le" if kind in (0xE7, 0xEF) else "cp1252"
        text = None if raw_value is None else raw_value.decode(codec)
        return SqlType("nvarchar", -1 if length == 0xFFFF else length // 2), text, at
    raise ValueError(f"a parameter of type {kind:#x} is not understood")


def _read_sized(data: bytes, at: int, long: bool) -> tuple[bytes | None, int]:
    if not long:
        (size,) = struct.unpack_from("<H", data, at)
        return (None, at + 2) if size == 0xFFFF else (data[at + 2 : at + 2 + size], at + 2 + size)
    (size,) = struct.unpack_from("<Q", data, at)
    at += 8
    if size == 0xFFFFFFFFFFFFFFFF:
        return None, at
    parts = []
    while True:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if not size:
            return b"".join(parts), at
        parts.append(data[at : at + size])
        at += size
