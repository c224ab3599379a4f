"""Encoder: compiled per relation, it turns a tuple of pgoutput straight into the bytes of an envelope line.

A change arrives as text values with their lengths. Building a dict of Python values and dumping it as JSON takes
twice the time of everything else together, so for each relation a function is generated that slices the values out
of the message and joins them with constant pieces of JSON.

How a value is written, by the type of its column:

    integers, oid                       as they are
    real, double precision, numeric     as they are: all digits are kept; NaN and Infinity as strings
    boolean                             true, false
    json, jsonb                         as they are; line breaks between tokens become spaces
    everything else                     a string with PostgreSQL's own text form (ISO dates, UTC, bytea in hex,
                                        arrays as {1,2})

SQL's NULL and the JSON value null of a json column are both null; columns with the latter are named in JsonNull.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any

import orjson

TEXT, NULL, UNCHANGED = ord("t"), ord("n"), ord("u")
LENGTH = Struct(">I").unpack_from

Values = list[bytes | None]
"""Encoded JSON values in the order of the columns; None: an unchanged value that was not sent."""

_NUMBERS = [b"%08d" % number for number in range(1000)]
"""Sequence numbers within a transaction, as they are written."""

_MISSES = 64
"""The number of rows without such values, one behind the other, after which none is expected to have them."""

JSON_NULL = b" null"
"""The JSON value null, where b"null" is SQL's NULL. The space is part of the line."""


class Form(Enum):
    """How a type's text becomes JSON."""

    RAW = "raw"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"
    PLAIN = "plain"
    """A string that never holds anything that JSON would escape."""
    BYTES = "bytes"
    TEXT = "text"


_FORMS = {
    **dict.fromkeys((20, 21, 23, 26), Form.RAW),  # int8, int2, int4, oid
    **dict.fromkeys((700, 701, 1700), Form.NUMBER),  # float4, float8, numeric
    16: Form.BOOLEAN,
    **dict.fromkeys((114, 3802), Form.JSON),
    17: Form.BYTES,
    # uuid, date, time, timestamp, timestamptz, timetz, interval, inet, cidr, macaddr, macaddr8, bit, varbit, pg_lsn
    **dict.fromkeys((2950, 1082, 1083, 1114, 1184, 1266, 1186, 869, 650, 829, 774, 1560, 1562, 3220), Form.PLAIN),
}


def form_of(type_oid: int) -> Form:
    """The form for a type (pg_type.oid); for a domain give its base type."""
    return _FORMS.get(type_oid, Form.TEXT)


_EXPRESSIONS = {
    Form.RAW: "b[q:p]",
    Form.NUMBER: "b[q:p] if b[p - 1] < 58 else b'\"' + b[q:p] + b'\"'",  # NaN and Infinity end in a letter
    Form.BOOLEAN: "b'true' if b[q] == 116 else b'false'",
    Form.JSON: (  # of all JSON values only null begins with n
        "b[q:p] if b[q] > 32 and b[q] != 110 and b.find(10, q, p) < 0 and b.find(13, q, p) < 0 else json_text(b[q:p])"
    ),
    Form.PLAIN: "b'\"' + b[q:p] + b'\"'",
    Form.BYTES: "b'\"\\\\' + b[q:p] + b'\"'",
    Form.TEXT: "dumps(str(b[q:p], 'utf-8'))",
}


def json_text(text: bytes) -> bytes:
    """A JSON text without line breaks, which it can only have between tokens; JSON_NULL if it is null."""
    text = text.replace(b"\n", b" ").replace(b"\r", b" ")
    return JSON_NULL if text.strip() == b"null" else text


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the stream describes it: its name and the base type that decides its form."""

    name: str
    type_oid: int


_SENT = {
    Form.NUMBER: "if {v}[-1] > 57: {v} = b'\"' + {v} + b'\"'",
    Form.BOOLEAN: "{v} = b'true' if {v} == b't' else b'false'",
    Form.JSON: (
        "if {v}[0] < 33 or {v}[0] == 110 or b'\\n' in {v} or b'\\r' in {v}:\n"
        "    {v} = json_text({v})\n    if {v} is JSON_NULL: return None"
    ),
}
"""What a value takes that was cut out of the message; strings stand between constant quotes."""
_QUOTED = {Form.PLAIN: b'"', Form.BYTES: b'"\\', Form.TEXT: b'"'}
"""How the constant text in front of a string ends."""

Fast = Callable[[bytes, int, bytes, int, bytes], bytes | None]


class Encoder:
    """The encoder of one relation.

    `table` is the envelope's TableName. `key` names the columns of Key, none for a table without one; with `keyless`
    they are the whole row, which other rows may equal.
    `insert` and `update` are compiled: (message, offset of the first value, position prefix, sequence number,
    line end) -> the line, or None if `line` has to write it: a value was left out as unchanged, or is JSON's null.
    The line's end is what follows the sequence number within Position.
    """

    __slots__ = ("_heads", "_names", "columns", "insert", "key", "key_at", "table", "update", "values")

    insert: Fast
    update: Fast
    values: Callable[[bytes, int], tuple[Values, int]]

    def __init__(self, table: str, columns: Sequence[Column], key: Sequence[str], *, keyless: bool = False) -> None:
        self.table = table
        self.columns = tuple(columns)
        names = [column.name for column in columns]
        self.key = tuple(name for name in key if name in names)
        self.key_at = tuple(names.index(name) for name in self.key)
        self._names = [orjson.dumps(name) for name in names]
        quoted = orjson.dumps(table)
        tail = b',"Keyless":true' if keyless else b""
        self._heads = {
            operation: b'},"metadata":{"TableName":%b,"OperationType":"%b"%b' % (quoted, operation.encode(), tail)
            for operation in ("Insert", "Update", "Delete", "Read", "Truncate")
        }
        compiled = self._compile()
        self.insert = compiled["insert"]
        self.update = compiled["update"]
        self.values = compiled["values"]

    def line(
        self,
        operation: str,
        values: Values,
        position: bytes,
        *,
        old_key: bytes | None = None,
        key: bytes | None = None,
        only_key: bool = False,
    ) -> bytes:
        """An envelope line out of encoded values, the general way.

        `position` is Position and all that follows it, with the line's end. Columns whose value is None are left
        out and named in Unchanged. `only_key` leaves all columns but those of the key out (a delete that names
        nothing else).
        """
        chosen = self.key_at if only_key else range(len(values))
        fields = []
        unchanged, json_nulls = [], []
        for at in chosen:
            value = values[at]
            if value is None:
                unchanged.append(self._names[at])
            else:
                fields.append(self._names[at] + b":" + value)
                if value == JSON_NULL:
                    json_nulls.append(self._names[at])
        parts = [b'{"data":{', b",".join(fields), self._heads[operation]]
        own = key if key is not None else self.key_of(values)
        if own is not None:
            parts += (b',"Key":', own)
        if old_key is not None:
            parts += (b',"OldKey":', old_key)
        if unchanged:
            parts += (b',"Unchanged":[', b",".join(unchanged), b"]")
        if json_nulls:
            parts += (b',"JsonNull":[', b",".join(json_nulls), b"]")
        parts.append(b',"Position":"')
        parts.append(position)
        return b"".join(parts)

    def truncate(self, position: bytes) -> bytes:
        """The line that removes all rows."""
        return b'{"data":{' + self._heads["Truncate"] + b',"Position":"' + position

    def key_of(self, values: Values) -> bytes | None:
        """The JSON object of the key; None without a key, or if one of its values is missing."""
        parts = []
        for at in self.key_at:
            value = values[at]
            if value is None:
                return None
            parts.append(self._names[at] + b":" + value)
        return b"{" + b",".join(parts) + b"}" if parts else None

    def _compile(self) -> dict[str, Any]:
        reads = []
        for at, column in enumerate(self.columns):
            read = [
                "k = b[p]",
                f"if k == {TEXT}:",
                "    q = p + 5",
                "    p = q + length(b, p + 1)[0]",
                f"    v{at} = {_EXPRESSIONS[form_of(column.type_oid)]}",
            ]
            if form_of(column.type_oid) is Form.JSON:
                read.append(f"    {{json_null}}if v{at} is JSON_NULL: return None")
            read += [
                f"elif k == {NULL}:",
                f"    v{at} = b'null'; p += 1",
                "else:",
                f"    {{unchanged}}v{at} = None; p += 1",
            ]
            reads.append(read)
        source = []
        for operation in ("Insert", "Update"):
            source.append(f"def {operation.lower()}(b, p, at, n, end):")
            source += self._split(operation)
            source += [
                "    " + line.replace("{unchanged}", "return None  # ").replace("{json_null}", "")
                for read in reads
                for line in read
            ]
            source.append(f"    return join(({self.arguments(operation)}, b'%08d' % n, end))")
        source.append("def values(b, p):")
        source += [
            "    " + line.replace("{unchanged}", "").replace("{json_null}", "pass  # ")
            for read in reads
            for line in read
        ]
        source.append(f"    return [{', '.join(f'v{at}' for at in range(len(self.columns)))}], p")
        scope: dict[str, Any] = {
            "length": LENGTH,
            "dumps": orjson.dumps,
            "json_text": json_text,
            "JSON_NULL": JSON_NULL,
            "NUMBERS": _NUMBERS,
            "SENT": b"t\0\0",
            "misses": [0],
            "ZERO": b"\0",
            "join": b"".join,
        }
        # The source is made of numbers and of bytes literals written by repr, of nothing that came from outside.
        exec(compile("\n".join(source), f"<encoder of {self.table!r}>", "exec"), scope)  # noqa: S102 - see above
        return scope

    def _split(self, operation: str) -> list[str]:
        """Source lines that return the line if all values were sent and none is NULL or has 64 KiB or more.

        Such values all begin with b"t", two bytes that are zero and the two lower ones of the length. No byte of a text
        is zero, so this is nowhere else but maybe in the message's head. Where many rows in a row are not like that,
        as in a table with a column that is mostly NULL, it is not tried any more.
        """
        forms = [form_of(column.type_oid) for column in self.columns]
        names = [f"v{at}" for at in range(len(forms))]
        texts = [name for name, form in zip(names, forms, strict=True) if form is Form.TEXT]
        out = [f"if misses[0] < {_MISSES}:", "    misses[0] += 1", f"    f = b.split(SENT, {len(forms)})"]
        out.append(f"    if len(f) == {len(forms) + 1} and len(f[0]) == p:")
        found = ["misses[0] = 0", "_, " + "".join(name + ", " for name in names) + "= f"]
        for name, form in zip(names, forms, strict=True):
            found += [f"{name} = {name}[2:]", *_SENT.get(form, "").replace("{v}", name).splitlines()]
        if texts:
            # JSON writes the zeros between the texts as six bytes each. What else has to be escaped makes it longer.
            found.append(f"t = ZERO.join(({', '.join(texts)},))" if len(texts) > 1 else f"t = {texts[0]}")
            found.append(f"if len(dumps(t.decode())) != len(t) + {2 + 5 * (len(texts) - 1)}:")
            found += [f"    {name} = dumps({name}.decode())[1:-1]" for name in texts]
        pieces = self.pieces(operation)
        for place, at in enumerate(pieces):
            if isinstance(at, int) and forms[at] in _QUOTED:
                before, after = pieces[place - 1], pieces[place + 1]
                assert isinstance(before, bytes) and isinstance(after, bytes)  # noqa: S101 - they take turns
                pieces[place - 1], pieces[place + 1] = before + _QUOTED[forms[at]], b'"' + after
        found.append(f"return join(({_arguments(pieces)}, NUMBERS[n] if n < {len(_NUMBERS)} else b'%08d' % n, end))")
        return ["    " + line for line in (*out, *("        " + line for line in found))]

    def pieces(self, operation: str) -> list[bytes | int]:
        """What a line is made of, in turn: constant text, and numbers of columns, whose values stand there.

        The last is the text in front of the position.
        """
        out: list[bytes | int] = []
        text = b'{"data":{'
        for at, name in enumerate(self._names):
            out += (text + name + b":", at)
            text = b","
        text = (text if not self._names else b"") + self._heads[operation]
        if self.key_at:
            text += b',"Key":{'
            for at in self.key_at:
                out += (text + self._names[at] + b":", at)
                text = b","
            text = b"}"
        return [*out, text + b',"Position":"']

    def arguments(self, operation: str) -> str:
        """Source text: the arguments of a join that makes a line of the values v0, v1, ... and of `at`, the position's
        prefix, up to the sequence number."""
        return _arguments(self.pieces(operation))


def _arguments(pieces: Sequence[bytes | int]) -> str:
    return ", ".join([f"v{piece}" if isinstance(piece, int) else repr(piece) for piece in pieces] + ["at"])
