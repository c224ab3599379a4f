"""Values: the text of JSON values as SQL literals and as fields of COPY.

Both are read by the input function of the column's type, as the values in a dump are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from dstream_postgres import json_text
from dstream_postgres.names import quote
from dstream_postgres.target import TargetColumn, TargetTable

NULL = b"NULL"


class Unfit(ValueError):
    """No column of PostgreSQL holds this value; the message says why."""


def text_of(token: bytes, column: TargetColumn, json_null: bool = False) -> bytes | None:
    """The text that the type's input function takes; None for SQL's NULL. Raises Unfit."""
    if token == b"null":
        return token if column.json and (json_null or column.required) else None
    if column.json or token[0] != 34:
        return token
    if b"\\" not in token:
        return token[1:-1]
    try:
        text = json_text.string(token).encode()
    except UnicodeEncodeError:
        raise Unfit(f"column {column.name}: half of a surrogate pair is not a character") from None
    if b"\0" in text:
        raise Unfit(f"column {column.name}: a text with the character U+0000, which PostgreSQL does not store")
    return text


def nested(token: bytes, column: TargetColumn) -> bool:
    """Whether the value is a JSON array or object for a column that is neither json nor text, such as an SQL array."""
    return token[0] in b"[{" and not column.json and not column.text


def literal(token: bytes, column: TargetColumn, table: TargetTable, json_null: bool = False) -> bytes:
    """The value as an SQL literal of no declared type, or as an expression of the column's type. Raises Unfit."""
    if nested(token, column):
        one = b"{" + _json_string(column.name) + b":" + token + b"}"
        record = f"json_populate_record(NULL::{table.table.sql}, ".encode()
        return b"(" + record + _quoted(one) + b"))." + quote(column.name).encode()
    text = text_of(token, column, json_null)
    return NULL if text is None else _quoted(text)


def field(token: bytes, column: TargetColumn, json_null: bool = False) -> bytes:
    """The value as a field of COPY in CSV, with NULL written as null. Raises Unfit."""
    text = text_of(token, column, json_null)
    return b"null" if text is None else b'"' + text.replace(b'"', b'""') + b'"'


_BARE_NULL = re.compile(rb"(?<![^\t\n])null(?![^\t\n])")
_NOT_PLAIN = (b"\\", b"\t{", b"\t[", b"\n{", b"\n[")


def plain(text: bytes) -> bool:
    """Whether JSON values, separated by tabs and newlines, are scalars without escapes: they are fields of CSV then."""
    return text[:1] not in (b"[", b"{") and not any(sign in text for sign in _NOT_PLAIN)


def tuples(text: bytes) -> bytes:
    """The rows of VALUES for plain text: literals of no declared type, as `literal` gives them one by one."""
    if b"null" in text:
        text = _BARE_NULL.sub(b"\0", text)  # JSON has no such character in a string
    text = text.replace(b"'", b"''").replace(b'"', b"").replace(b"\t", b"', '").replace(b"\n", b"'), ('")
    return (b"('" + text + b"')").replace(b"'\0'", NULL)


def array(values: Iterable[Any], column: TargetColumn) -> bytes | None:
    """Plain values of one column as an array; None where one is not plain. JSON's quotes are those of elements."""
    text = b",\n".join(values)  # no value holds a newline, which is nothing in an array
    return _quoted(b"{" + text + b"}") + f"::{column.type}[]".encode() if plain(text) else None


def _quoted(text: bytes) -> bytes:
    return b"'" + text.replace(b"'", b"''") + b"'"


def _json_string(name: str) -> bytes:
    import json

    return json.dumps(name).encode()
