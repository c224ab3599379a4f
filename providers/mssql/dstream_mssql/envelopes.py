"""Envelopes: change table rows, as the decoder returns them, to lines of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from dstream_mssql.names import Table

DELETE, INSERT, BEFORE, AFTER = 1, 2, 3, 4
_NAMES = {DELETE: "Delete", INSERT: "Insert", AFTER: "Update"}


class Envelopes:
    """Encodes the rows of one table.

    `large` has the name and ordinal of each column that before images have only if the update changed it.
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
        """Return the lines of change table rows, which are ordered by (LSN, command, sequence, operation).

        The two rows of an update become one line. The before image is matched by key, or else by order.
        """
        lines: list[bytes] = []
        waiting: list[tuple[bytes | None, bytes]] = []
        last: tuple[tuple[bytes, ...], int] | None = None
        group: tuple[Any, ...] = ()
        lsn_hex = step = order = b""
        ordinal = 0
        middle, join, images = self._middle, b"".join, self._before_images
        for row in rows:
            lsn, seq, operation, mask, command, data, key = row[:7]
            number = operation[0]
            if (lsn, seq, command) != group:
                group, lsn_hex, step = (lsn, seq, command), lsn.hex().encode(), seq.hex().encode()
                # The command orders the operations of a transaction if there is one, otherwise the sequence does.
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
                        lsn_hex,
                        b'","Seq":"',
                        step,
                        b'"' if key is None else b'","Key":{' + key + b"}",
                        more,
                        b',"Position":"',
                        lsn_hex,
                        b"/",
                        order,
                        b'/%d/%04d","TransactionID":"' % (number, ordinal),
                        lsn_hex,
                        b'"}}\n',
                    )
                )
            )
        return lines

    def _pair(self, key: bytes | None, waiting: list[tuple[bytes | None, bytes]]) -> bytes:
        """Return what the before image adds to the metadata of an update."""
        at = next((at for at, one in enumerate(waiting) if one[0] == key), 0)
        old_key, before = waiting.pop(at)
        out = b""
        if old_key is not None and old_key != key:
            out = b',"OldKey":{' + old_key + b"}"
        return out + b',"Before":{' + before + b"}" if self._before_images else out

    def _without(self, members: bytes, values: Sequence[bytes], mask: bytes) -> bytes:
        """Return the members of a before image, with a large value only if the update changed it."""
        out = [members] if members else []
        for (name, ordinal), value in zip(self._large, values, strict=True):
            at, bit = divmod(ordinal - 1, 8)
            if at < len(mask) and mask[-1 - at] & 1 << bit:
                out.append(name + b":" + value)
        return b",".join(out)

    def read(self, rows: Sequence[tuple[Any, ...]], lsn: str, first: int) -> list[bytes]:
        """Return the lines of snapshot rows as of an LSN. `first` is the number of the first row."""
        lsn_hex = lsn.encode()
        lines = []
        for number, (data, key, *_) in enumerate(rows, first):
            own = b'"' if key is None else b'","Key":{' + key + b"}"
            lines.append(
                b'{"data":{'
                + data
                + self._read
                + lsn_hex
                + own
                + b',"Position":"%b/%020d/0/0000"}}\n' % (lsn_hex, number)
            )
        return lines

    def truncate(self, lsn: str) -> bytes:
        """Return the line that removes all rows of the table."""
        return self._truncate + lsn.encode() + b'","Position":"%b/%020d/0/0000"}}\n' % (lsn.encode(), 0)
