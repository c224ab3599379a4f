"""Rendered: rows whose data the server writes as JSON.

The server writes an object of JSON in less time than a program takes to read its values. It does so only for types
whose JSON is the one that the stream gives (`encoder`): no row looks different because of how it was read.
"""

from __future__ import annotations

from collections.abc import Sequence

from dstream_postgres.copied import Rows
from dstream_postgres.encoder import Encoder
from dstream_postgres.names import quote

_OID = 26
_BY_TEXT = (1082, 1114, 1184)
"""date, timestamp, timestamptz: JSON's functions write them in another form than the types themselves."""
_INTEGERS = (20, 21, 23, _OID)
_SAME = frozenset((
    *_INTEGERS, *_BY_TEXT, 16, 700, 701, 1700,  # boolean, float4, float8, numeric
    17, 19, 25, 1042, 1043, 2950,  # bytea, name, text, char, varchar, uuid
    1083, 1266, 1186, 869, 650, 829, 774, 1560, 1562, 3220,  # time to pg_lsn, as in `encoder`
))  # fmt: skip
_SEPARATOR = b"\x02"
_FORMAT = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02', NULL 'null')"
"""Passes texts on as they are that have no control characters, and JSON has none."""


def command(encoder: Encoder, source: str) -> str | None:
    """The COPY command whose rows are the object of the data and the values of the key.

    `source` is what follows FROM. None if a column has another type than those.
    """
    if not encoder.columns or any(column.type_oid not in _SAME for column in encoder.columns):
        return None
    chosen = ", ".join(_value(column.name, column.type_oid) for column in encoder.columns)
    parts = ["pg_catalog.row_to_json(d.*)"]
    for column in (encoder.columns[at] for at in encoder.key_at):
        name = f"d.{quote(column.name)}"
        parts.append(name if column.type_oid in _INTEGERS else f"pg_catalog.to_json({name})")
    return f"COPY (SELECT {', '.join(parts)} FROM (SELECT {chosen} FROM {source}) AS d) TO STDOUT WITH {_FORMAT}"  # noqa: S608 - quoted


def complete_rows(encoder: Encoder) -> Rows:
    """The function that makes lines of such rows."""
    around = b"%b".join(text.replace(b"%", b"%%") for text in encoder.around("Read"))

    def complete(found: Sequence[bytes], at: bytes, n: int, end: bytes) -> list[bytes]:
        line = b'{"data":%b' + around + at + b"%08d" + end
        return [line % (*row[:-1].split(_SEPARATOR), number) for number, row in enumerate(found, n + 1)]

    return complete


def _value(name: str, type_oid: int) -> str:
    column = quote(name)
    if type_oid in _BY_TEXT:
        return f"{column}::text AS {column}"
    return f"{column}::int8 AS {column}" if type_oid == _OID else column
