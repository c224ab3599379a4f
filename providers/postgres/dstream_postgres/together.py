"""Together: compiled per table, it turns many rows of COPY's text format into envelope lines in a few steps.

COPY escapes nearly as JSON does: a backslash, a tab and the line breaks have the same escapes in both. So the text of
all rows is cut into values where tabs and line breaks are, and joined again with constant pieces of JSON in between.
What that does not do is left to `copied`, row by row: values that are escaped differently in JSON, numbers that JSON
does not have, and the JSON value null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import orjson

from dstream_postgres.encoder import Encoder, Form, form_of

Together = Callable[[bytes, int, bytes, int, bytes], bytes | None]
"""(rows separated by line breaks, their number, position prefix, sequence number before the first row, line end) ->
lines; None for rows that are to be read one by one."""

_QUOTED = (Form.PLAIN, Form.TEXT, Form.BYTES)
_NULL = b"\\N"
_BOOLEANS = {b"t": b"true", b"f": b"false", _NULL: _NULL}
_DIGITS = b"0123456789+-.e" + _NULL
_NUMBERED = 1000
_ENDINGS = [b"%03d" % number for number in range(_NUMBERED)]
"""The last digits of sequence numbers."""
_LAYOUTS = 32
"""The number of layouts that are kept for a table: one for each set of columns with NULL in the same block."""


def compile_together(encoder: Encoder) -> Together:
    """The function that makes lines of the operation Read; the table has at least one column."""
    forms = [form_of(column.type_oid) for column in encoder.columns]
    width = len(forms)
    quoted = frozenset(at for at, form in enumerate(forms) if form in _QUOTED)
    checked = [(at, form) for at, form in enumerate(forms) if form in (Form.BOOLEAN, Form.JSON, Form.NUMBER)]
    pieces = encoder.pieces("Read")
    layout = lru_cache(_LAYOUTS)(lambda columns: _Layout(pieces, columns))

    def together(block: bytes, count: int, at: bytes, n: int, end: bytes) -> bytes | None:
        fields = _fields(block, count, width)
        if fields is None:
            return None
        columns = [fields[column::width] for column in range(width)]
        for column, form in checked:
            if form is Form.BOOLEAN:
                columns[column] = [_BOOLEANS[value] for value in columns[column]]
            elif form is Form.JSON:
                columns[column] = [value.replace(b'\\"', b'"') for value in columns[column]]
                if not _is_json(columns[column]):
                    return None
            elif b"".join(columns[column]).translate(None, _DIGITS):
                return None  # NaN or Infinity
        own = quoted
        if b"\\" in block and _NULL in block:
            for column in range(width):
                values = columns[column]
                if _NULL in values:
                    mark = b'"' if column in own else b""
                    columns[column] = [mark + value + mark if value != _NULL else b"null" for value in values]
                    own -= {column}
        return layout(own).lines(columns, count, at, n, end)

    return together


def _fields(block: bytes, count: int, width: int) -> list[bytes] | None:
    """The values of all rows, escaped as in JSON, NULL as COPY writes it; None if they cannot be had that way."""
    escaped = block.replace(b'"', b'\\"')
    size = len(escaped) + count * width + 1  # as JSON: tabs and line breaks are two bytes long, and there are quotes
    if b"\\" in block:
        if b"\\v" in block:
            return None
        size += len(block.replace(b"\\", b"\\\\")) - len(block)
    try:
        if len(orjson.dumps(block.decode())) != size:
            return None  # there are other control characters
    except UnicodeDecodeError:
        return None
    fields = escaped.replace(b"\n", b"\t").split(b"\t")
    return fields if len(fields) == count * width else None


def _is_json(values: Sequence[bytes]) -> bool:
    """Whether values are JSON as they are: they have no escapes of COPY, and none is JSON's null."""
    text = b"".join(values)
    if b"\\" in text and len(text.replace(b"\\", b"")) + values.count(_NULL) != len(text):
        return False
    return b"null" not in text or all(value.strip() != b"null" for value in values)


class _Layout:
    """The constant pieces of lines, given the columns whose values stand in quotes."""

    def __init__(self, pieces: Sequence[bytes | int], quoted: frozenset[int]) -> None:
        self._places = [piece for piece in pieces if isinstance(piece, int)]
        texts = [piece for piece in pieces if not isinstance(piece, int)]
        for number, column in enumerate(self._places):
            if column in quoted:
                texts[number] += b'"'
                texts[number + 1] = b'"' + texts[number + 1]
        self._first, *others = texts
        self._between = [part for text in others for part in (b"", text)]

    def lines(self, columns: Sequence[list[bytes]], count: int, at: bytes, n: int, end: bytes) -> bytes:
        """The lines of `count` rows, whose values are given by column."""
        between = [*self._between, b"", end + self._first]
        high, low = divmod(n + 1, _NUMBERED)
        if low + count <= _NUMBERED:
            between[-3] += at + b"%05d" % high
            numbers = _ENDINGS[low : low + count]
        else:
            between[-3] += at
            numbers = [b"%08d" % number for number in range(n + 1, n + 1 + count)]
        parts = between * count
        step = len(between)
        for number, column in enumerate(self._places):
            parts[2 * number :: step] = columns[column]
        parts[step - 2 :: step] = numbers
        parts[-1] = end
        return self._first + b"".join(parts)
