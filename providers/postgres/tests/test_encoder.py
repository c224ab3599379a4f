"""The encoder's fast ways write what the general one does, for all types and for values that are odd on the wire."""

from __future__ import annotations

import json
import random
import struct

from dstream_postgres.encoder import JSON_NULL, Column, Encoder, Form, form_of

OIDS = (25, 25, 1042, 1009, 2249, 17, 23, 20, 1700, 701, 16, 114, 3802, 1184, 2950)
VALUES = {
    Form.RAW: ["0", "-7", "9223372036854775807"],
    Form.NUMBER: ["1e400", "-0.000", "12345678901234567890.1234567890", "NaN", "Infinity", "-Infinity", "1e-20"],
    Form.BOOLEAN: ["t", "f"],
    Form.JSON: [
        '{"a":\n1}', '"\\u0000"', '"\\ud800"', "null", " null", "\r\n null\n", "[null]", "1e400", "true", '""',
    ],
    Form.PLAIN: ["infinity", "2026-01-01 00:00:00+00", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    Form.BYTES: ["\\x", "\\x74", "\\x00ff5c27"],
    Form.TEXT: [
        "", "t", "tt", "null", "a", "é\u2028\U0001f600", '"', "\\", "\\u0000", '{1,NULL,"a,\\"b"}', '(1,"x ""y""",)',
        "\n\t\r", "\x01", "\x7f", "t" * 116, "x" * 116 + "t", "t" * 256, "n" * 257, "u" * 29_696, "z" * 65_535,
        "t" * 65_536, "x" * 70_000,
    ],
}  # fmt: skip
HEADS = [b"I\0\0\x40\1N", b"I\0t\0\0N", b"It\0\0\0N", b"I\0\0\0tN", b"Ut\0\0tN", b"U\0\0t\0N"]
"""Beginnings of messages, some with what otherwise begins a value."""
TAIL = b'","TransactionID":1}}\n'


def sent(chance: random.Random, oid: int) -> bytes:
    """A column of a message: mostly a value, rarely NULL or left out as unchanged."""
    if (kind := chance.random()) < 0.06:
        return b"n" if kind < 0.04 else b"u"
    values = VALUES[form_of(oid)]
    text = chance.choice(values[:-4] if kind < 0.97 and len(values) > 20 else values).encode()
    return b"t" + struct.pack(">I", len(text)) + text


def test_any_message_is_written_as_in_the_general_way():
    chance = random.Random(3)
    fast = slow = 0
    for _ in range(150):
        oids = chance.choices(OIDS, k=chance.randrange(7))
        columns = [Column(f'c"t{at}\\', oid) for at, oid in enumerate(oids)]
        encoder = Encoder("t", columns, [each.name for each in columns[1:3]], keyless=chance.random() < 0.1)
        for n in (1, 7, 999, 1000, 123456789) * 4:
            parts = [sent(chance, oid) for oid in oids]
            message = chance.choice(HEADS) + len(oids).to_bytes(2, "big") + b"".join(parts)
            values, end = encoder.values(message, 8)
            assert end == len(message)
            for operation, write in (("Insert", encoder.insert), ("Update", encoder.update)):
                general = encoder.line(operation, values, b"P/%08d" % n + TAIL)
                line = write(message, 8, b"P/", n, TAIL)
                assert line == (None if None in values or JSON_NULL in values else general)
            assert general.count(b"\n") == 1
            data = json.loads(general)["data"]
            for column, part in zip(columns, parts, strict=True):
                if form_of(column.type_oid) in (Form.TEXT, Form.PLAIN, Form.BYTES) and part != b"u":
                    assert data[column.name] == (None if part == b"n" else part[5:].decode())
            split = len(message.split(b"t\0\0", len(oids))) == len(oids) + 1
            fast, slow = fast + split, slow + (not split)
    assert fast > 1000 and slow > 200


def test_rows_are_written_the_same_after_many_with_null():
    encoder = Encoder("t", [Column("id", 23), Column("v", 25)], ["id"])
    whole = b"I\0\0\x40\1N\0\2t\0\0\0\x017t\0\0\0\1x"
    first = encoder.insert(whole, 8, b"P/", 1, TAIL)
    for _ in range(200):
        line = encoder.insert(b"I\0\0\x40\1N\0\2t\0\0\0\x017n", 8, b"P/", 1, TAIL)
        assert line is not None and json.loads(line)["data"] == {"id": 7, "v": None}
    assert encoder.insert(whole, 8, b"P/", 1, TAIL) == first is not None
