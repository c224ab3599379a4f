"""Decoder: converts the rows of a result from TDS bytes to JSON, by a function compiled for its columns.

The function appends a tuple for each row: the leading columns as raw bytes (of a change table: LSN, sequence,
operation, mask), the members of `data`, and the key. If there are large columns, the members without them and their
values follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any

import orjson

from dstream_mssql import json_values
from dstream_mssql.tds_rows import RowBytes, WireColumn

Walk = Callable[[bytes, int, list[Any]], tuple[int, bool]]
_SHORT, _LONG, _EIGHT = Struct("<H"), Struct("<I"), Struct("<Q")
_NULL_CHUNKS = 0xFFFFFFFFFFFFFFFF


class Decoder:
    """Decodes the rows of one set of columns.

    The first `leading` columns are returned raw (bytes, None for NULL). The others are the members of `data`.
    """

    def __init__(
        self,
        columns: Sequence[WireColumn],
        key: Sequence[str],
        *,
        leading: int = 0,
        strings: bool = False,
        large: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns[leading:])
        self.key = tuple(name for name in key if name in self.names)
        self.leading = leading
        self.large = tuple(name for name in large if name in self.names)
        self._encoders = [json_values.encoder_of(column, strings=strings) for column in columns[leading:]]
        self._walk = self._compile()

    def fetch(self, source: RowBytes, found: list[Any]) -> bool:
        """Append the next rows of `source` to `found`. Returns False at the end. Raises the driver's errors."""
        waiting, required = source.rest, 0
        while True:
            more = source.take()
            waiting += more
            if more and len(waiting) < required:
                continue
            at, ended = self._walk(waiting, 0, found)
            if ended or not more:
                source.end(waiting[at:])
                return False
            # One value may be larger than the buffer: try again when the buffer has doubled.
            required = 0 if at else len(waiting) * 2
            waiting = waiting[at:]
            if at:
                source.rest = waiting
                return True

    def all(self, source: RowBytes) -> list[Any]:
        """Return all rows."""
        found: list[Any] = []
        while self.fetch(source, found):
            pass
        return found

    def _compile(self) -> Walk:
        scope: dict[str, Any] = {
            "short": _SHORT.unpack_from,
            "number": int.from_bytes,
            "chunks": _chunks,
            "variant": _variant,
            "join": b"".join,
            "null": json_values.NULL,
            "Short": (IndexError, StructError),
        }
        for at, form in enumerate(self._encoders):
            scope[f"f{at + self.leading}"] = form
        bitmap = (len(self.columns) + 7) // 8
        lines = [
            "def walk(b, p, found):",
            "    n = len(b)",
            "    append = found.append",
            "    start = p",
            "    try:",
            "        while True:",
            "            start = p",
            "            t = b[p]",
            "            if t == 0xD1:",
            "                p += 1",
            *self._reads(" " * 16, nulls=False),
            "            elif t == 0xD2:",
            f"                m = b[p + 1 : p + {1 + bitmap}]",
            f"                p += {1 + bitmap}",
            *self._reads(" " * 16, nulls=True),
            "            else:",
            "                return p, True",
            "            if p > n:",
            "                return start, False",
            f"            append(({self._row()}))",
            "    except Short:",
            "        return start, False",
        ]
        # The generated source has only numbers and bytes literals written by repr, no text from outside.
        exec(compile("\n".join(lines), "<decoder>", "exec"), scope)  # noqa: S102 - see above
        walk: Walk = scope["walk"]
        return walk

    def _row(self) -> str:
        raw = "".join(f"v{at}, " for at in range(self.leading))
        row = f"{raw}{self._object(self.names)}, {self._object(self.key) if self.key else 'None'}"
        if self.large:
            values = ", ".join(f"v{self.leading + self.names.index(name)}" for name in self.large)
            row += f", {self._object([name for name in self.names if name not in self.large])}, ({values},)"
        return row

    def _object(self, names: Sequence[str]) -> str:
        """Return an expression for the members of a JSON object, without the braces."""
        pieces = []
        for count, name in enumerate(names):
            pieces.append(repr((b"," if count else b"") + orjson.dumps(name) + b":"))
            pieces.append(f"v{self.leading + self.names.index(name)}")
        return f"join(({', '.join(pieces)},))" if pieces else "b''"

    def _reads(self, indent: str, *, nulls: bool) -> list[str]:
        out = []
        for at, column in enumerate(self.columns):
            lines = self._read(at, column)
            if nulls:
                empty = "None" if at < self.leading else "null"
                lines = [
                    f"if m[{at // 8}] & {1 << at % 8}: v{at} = {empty}",
                    "else:",
                    *("    " + line for line in lines),
                ]
            out += [indent + line for line in lines]
        return out

    def _read(self, at: int, column: WireColumn) -> list[str]:
        """Return statements that read the value at `p` into `v{at}` and advance `p`."""
        raw = at < self.leading
        empty = "None" if raw else "null"

        def made(expression: str) -> str:
            return expression if raw else f"f{at}({expression})"

        kind = column.kind
        if kind in json_values.FIXED:
            size = json_values.FIXED[kind]
            return [f"v{at} = {made(f'b[p : p + {size}]')}; p += {size}"]
        if kind == json_values.VARIANT:
            return [f"r, p = variant(b, p, n); v{at} = {empty} if r is None else {made('r')}"]
        if kind == json_values.XML or column.long:
            return [f"r, p = chunks(b, p, n); v{at} = {empty} if r is None else {made('r')}"]
        if kind in json_values.BY_SHORT:
            return [
                "k = short(b, p)[0]; p += 2",
                f"if k == 0xFFFF: v{at} = {empty}",
                "else:",
                "    q = p; p += k",
                "    if p > n: return start, False",
                f"    v{at} = {made('b[q:p]')}",
            ]
        if kind in json_values.BY_BYTE:
            return [
                "k = b[p]; p += 1",
                f"if not k: v{at} = {empty}",
                "else:",
                "    q = p; p += k",
                "    if p > n: return start, False",
                f"    v{at} = {made('b[q:p]')}",
            ]
        raise LookupError(f"values of the type number {kind:#x} cannot be read")


def _chunks(b: bytes, p: int, n: int) -> tuple[bytes | None, int]:
    """Read a value that is sent in chunks. Raises IndexError if `b` does not have all of it."""
    (size,) = _EIGHT.unpack_from(b, p)
    p += 8
    if size == _NULL_CHUNKS:
        return None, p
    parts: list[bytes] = []
    while True:
        (size,) = _LONG.unpack_from(b, p)
        p += 4
        if not size:
            return b"".join(parts), p
        if p + size > n:
            raise IndexError
        parts.append(b[p : p + size])
        p += size


def _variant(b: bytes, p: int, n: int) -> tuple[bytes | None, int]:
    (size,) = _LONG.unpack_from(b, p)
    p += 4
    if p + size > n:
        raise IndexError
    return (b[p : p + size], p + size) if size else (None, p)
