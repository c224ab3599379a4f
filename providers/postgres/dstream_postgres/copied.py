"""Copied: compiled per table, it turns rows of COPY's text format into the bytes of envelope lines.

A row is its fields, separated by tabs. Backslashes escape what a field may not hold, and `\\N` is NULL. Most rows are
read many at a time (`together`), those that need more one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from dstream_postgres.encoder import JSON_NULL, Encoder, Form, form_of, json_text
from dstream_postgres.together import compile_together

Rows = Callable[[bytes, int, bytes, int, bytes], bytes]
"""(rows separated by line breaks, their number, position prefix, sequence number before the first row, line end) ->
lines."""

_EXPRESSIONS = {
    Form.RAW: "{v}",
    Form.NUMBER: "{v} if {v}[-1] < 58 else b'\"' + {v} + b'\"'",
    Form.BOOLEAN: "b'true' if {v} == b't' else b'false'",
    Form.JSON: "json_text({v})",
    Form.PLAIN: "b'\"' + {v} + b'\"'",
    Form.BYTES: "b'\"' + {v} + b'\"'",  # what COPY escapes, the backslash before x, is what JSON escapes
    Form.TEXT: "dumps(str({v}, 'utf-8'))",
}
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def unescape(field: bytes) -> bytes:
    """A field of COPY's text format without its escapes."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), field)


def compile_rows(encoder: Encoder) -> Rows:
    """The function that makes lines of the operation Read out of the rows of one table."""
    each = compile_each(encoder)
    if not encoder.columns:
        return each
    together = compile_together(encoder)

    def rows(block: bytes, count: int, at: bytes, n: int, end: bytes) -> bytes:
        return together(block, count, at, n, end) or each(block, count, at, n, end)

    return rows


def compile_each(encoder: Encoder) -> Rows:
    """The same function, which reads every row by itself."""
    forms = [form_of(column.type_oid) for column in encoder.columns]
    names = range(len(forms))
    unpack = "".join(f"v{at}, " for at in names) + "= row.split(TAB)" if forms else "pass"
    plain, escaped = [unpack], [unpack]
    nulls = [f"v{at} is JSON_NULL" for at in names if forms[at] is Form.JSON]
    for at, form in enumerate(forms):
        value = _EXPRESSIONS[form].replace("{v}", f"v{at}")
        if form is not Form.RAW:
            plain.append(f"v{at} = {value}")
        escaped += [f"if v{at} == N:", f"    v{at} = b'null'", "else:"]
        if form is not Form.BYTES:
            escaped.append(f"    if BACKSLASH in v{at}: v{at} = unescape(v{at})")
        escaped.append(f"    v{at} = {value}")
    source = [
        "def rows(block, count, at, n, end):",
        "    out = []",
        "    append = out.append",
        "    for row in block.split(LINE):",
        "        n += 1",
        "        if BACKSLASH in row:",
        *("            " + line for line in escaped),
        "        else:",
        *("            " + line for line in plain),
    ]
    if nulls:
        values = ", ".join(f"v{at}" for at in names)
        source += [
            f"        if {' or '.join(nulls)}:",
            f"            append(line('Read', [{values}], at + b'%08d' % n + end))",
            "            continue",
        ]
    source += [f"        append(join(({encoder.arguments('Read')}, b'%08d' % n, end)))", "    return join(out)"]
    scope: dict[str, Any] = {
        "BACKSLASH": b"\\",
        "JSON_NULL": JSON_NULL,
        "LINE": b"\n",
        "N": b"\\N",
        "TAB": b"\t",
        "dumps": orjson.dumps,
        "join": b"".join,
        "json_text": json_text,
        "line": encoder.line,
        "unescape": unescape,
    }
    # The source is made of numbers and of bytes literals written by repr, of nothing that came from outside.
    exec(compile("\n".join(source), f"<rows of {encoder.table!r}>", "exec"), scope)  # noqa: S102 - see above
    found: Rows = scope["rows"]
    return found
