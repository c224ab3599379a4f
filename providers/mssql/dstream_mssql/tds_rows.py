"""TDS rows: the rows of a result as raw bytes, taken from the driver before it decodes them.

Decoding each cell to a Python value, and that to JSON, takes most of the time of a read, and times of 100 ns lose a
digit. So the driver parses the column descriptions, this module takes the rows as bytes from its reader (`decoder.py`
converts them to JSON), and returns what follows the rows (errors, the end) to the driver. A test pins the driver's
attributes that this uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class WireColumn:
    """A column on the wire. `kind` is its type in MS-TDS; `long` marks the (max) types, which are sent in chunks."""

    name: str
    kind: int
    long: bool = False
    scale: int = 0
    length: int = 0


class RowBytes:
    """The rows of a result that a cursor has just started to return."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._session = cursor._session
        self._reader = self._session._reader
        self.rest = b""
        """Bytes of an incomplete row."""
        self.columns = tuple(_column(one) for one in self._session.res_info.columns)

    def take(self) -> bytes:
        """Return the next bytes, or b"" at the end."""
        reader = self._reader
        parts, size = [], 0
        while size < _PIECE:
            if reader._pos >= reader._size:
                if reader._status == 1:
                    break
                reader._read_packet()
            parts.append(bytes(reader._bufview[reader._pos : reader._size]))
            size += reader._size - reader._pos
            reader._pos = reader._size
        return b"".join(parts)

    def end(self, rest: bytes) -> None:
        """Return the bytes after the rows to the driver, which reads to the end. Raises the driver's errors."""
        reader = self._reader
        buffer = bytearray(max(len(reader._buf), len(rest)))
        buffer[: len(rest)] = rest
        reader._buf, reader._bufview = buffer, memoryview(buffer)
        reader._pos, reader._size = 0, len(rest)
        if self._session.next_row():
            raise AssertionError("the decoder stopped before the last row")
        while self._cursor.nextset():
            pass


def _column(column: Any) -> WireColumn:
    from pytds import tds_types

    serializer = column.serializer
    long_types = (tds_types.NVarCharMaxSerializer, tds_types.VarCharMaxSerializer, tds_types.VarBinarySerializerMax)
    temporal = serializer.type in (0x29, 0x2A, 0x2B)
    return WireColumn(
        name=column.column_name,
        kind=serializer.type,
        long=isinstance(serializer, long_types),
        scale=(serializer.precision if temporal else serializer.scale) or 0,
        length=int(serializer.size or 0),
    )
