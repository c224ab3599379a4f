"""Envelopes: the lines of change data, made of what the decoder found in a change table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from dstream_mssql.names import Table

DELETE, INSERT, BEFORE, AFTER = 1, 2, 3, 4
_NAMES = {DELETE: "Delete", INSERT: "Insert", AFTER: "Update"}


class Envelopes:
    """Makes the lines of one table.

    `large` are pairs of name and ordinal of the columns that the row before an update lacks unless they changed.
    """

    def __init__(self, table: Table, *, before_images: bool, large: Sequence[tuple[str, int]] = ()) -> None:
        self._before_images = before_images
        self._large = [(orjson.dumps(name), ordinal) for name, ordinal in large]
        names = b'"TableName":%b,"Schema":%b' % (orjson.dumps(str(table)), orjson.dumps(table.schema))
        self._middle = {
            operation: b'},"metadata":{%b,"OperationType":"%b","OperationID":%d,"LSN":"'
            % (names, name.encode(), operation)
            for operation, name in _NAMES.items()
        }
        self._read = b'},"metadata":{%b,"OperationType":"Read","LSN":"' % names
        self._truncate = b'{"data":{},"metadata":{%b,"OperationType":"Truncate","LSN":"' % names

    def changes(self, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """Lines of rows of the change table, in the order of (LSN, command, sequence, operation).

        The two rows of an update become one line; its row before is found by the key, or else by its turn.
        """
        lines: list[bytes] = []
        waiting: list[tuple[bytes | None, bytes]] = []
        last: tuple[tuple[bytes, ...], int] | None = None
        group: tuple[Any, ...] = ()
        place = step = order = b""
        ordinal = 0
        middle, join, images = self._middle, b"".join, self._before_images
        for row in rows:
            lsn, seq, operation, mask, command, data, key = row[:7]
            number = operation[0]
            if (lsn, seq, command) != group:
                group, place, step = (lsn, seq, command), lsn.hex().encode(), seq.hex().encode()
                # With numbers of operations the sequence does not order them; without, it does.
                order = step if command is None else b"%010d/%b" % (int.from_bytes(command, "little"), step)
            if number == BEFORE:
                if images or key is not None:
                    if last != (group, BEFORE):
                        waiting.clear()
                    last = (group, BEFORE)
                    waiting.append((key, self._without(row[7], row[8], mask) if self._large else data))
                continue
            this = (group, number)
            ordinal = ordinal + 1 if this == last else 0
            more = b""
            if number == AFTER and waiting:
                more = self._pair(key, waiting)
            last = this
            lines.append(
                join(
                    (
                        b'{"data":{',
                        data,
                        middle[number],
                        place,
                        b'","Seq":"',
                        step,
                        b'"' if key is None else b'","Key":{' + key + b"}",
                        more,
                        b',"Position":"',
                        place,
                        b"/",
                        order,
                        b'/%d/%04d","TransactionID":"' % (number, ordinal),
                        place,
                        b'"}}\n',
                    )
                )
            )
        return lines

    def _pair(self, key: bytes | None, waiting: list[tuple[bytes | None, bytes]]) -> bytes:
        """What the row before adds to an update's metadata."""
        at = next((at for at, one in enumerate(waiting) if one[0] == key), 0)
        old_key, before = waiting.pop(at)
        out = b""
        if old_key is not None and old_key != key:
            out = b',"OldKey":{' + old_key + b"}"
        return out + b',"Before":{' + before + b"}" if self._before_images else out

    def _without(self, members: bytes, values: Sequence[bytes], mask: bytes) -> bytes:
        """The members of a row before an update: large values only if the update changed them."""
        out = [members] if members else []
        for (name, ordinal), value in zip(self._large, values, strict=True):
            at, bit = divmod(ordinal - 1, 8)
            if at < len(mask) and mask[-1 - at] & 1 << bit:
                out.append(name + b":" + value)
        return b",".join(out)

    def read(self, rows: Sequence[tuple[Any, ...]], lsn: str, first: int) -> list[bytes]:
        """Lines of rows of the table itself, as of an LSN; `first` is the number of the first of them."""
        place = lsn.encode()
        lines = []
        for number, (data, key, *_) in enumerate(rows, first):
            own = b'"' if key is None else b'","Key":{' + key + b"}"
            lines.append(
                b'{"data":{' + data + self._read + place + own + b',"Position":"%b/%020d/0/0000"}}\n' % (place, number)
            )
        return lines

    def truncate(self, lsn: str) -> bytes:
        """The line that says that all rows are gone."""
        return self._truncate + lsn.encode() + b'","Position":"%b/%020d/0/0000"}}\n' % (lsn.encode(), 0)
