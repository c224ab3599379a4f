"""Wire: the rows of a result as the bytes that the server sent, taken from the driver before it makes objects of them.

Making Python values of each cell, and JSON of these, takes most of the time of reading; and dates of 100 ns lose a
digit on the way. So what describes the columns comes from the driver, the rows are taken as bytes out of its reader
(decoder.py turns them into JSON), and what follows the rows (errors, the end) is given back to the driver. The
attributes of the driver that this needs are pinned by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class WireColumn:
    """How a column travels. `kind` is the type's number in MS-TDS; `long` are the (max) types, which come in chunks."""

    name: str
    kind: int
    long: bool = False
    scale: int = 0
    length: int = 0


class RowBytes:
    """The rows of one result that a cursor has just begun to return."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._session = cursor._session
        self._reader = self._session._reader
        self.rest = b""
        """What has been taken and is no whole row yet. It belongs to this result: the next one begins with a row."""
        self.columns = tuple(_column(one) for one in self._session.res_info.columns)

    def take(self) -> bytes:
        """Some bytes that follow, b"" when there are no more."""
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
        """Give back what is no row, and let the driver read to the end. Raises the driver's errors."""
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
