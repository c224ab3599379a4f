"""Tokens of TDS: what a server sends, and the two messages by which a client opens a connection."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.services.mssql.model import SqlError
from tests.services.mssql.types import COLLATION, SqlType, type_info

_SERVER = "stand-in"


def _b_varchar(text: str) -> bytes:
    return bytes((len(text),)) + text.encode("utf-16-le")


def _us_varchar(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def done(status: int, count: int = 0, token: int = 0xFD) -> bytes:
    """DONE."""
    return struct.pack("<BHHQ", token, status, 0xC1, count)


def done_in_procedure(status: int, count: int = 0) -> bytes:
    """DONEINPROC."""
    return done(status, count, 0xFF)


def done_procedure(status: int, count: int = 0) -> bytes:
    """DONEPROC."""
    return done(status, count, 0xFE)


def return_status(value: int) -> bytes:
    """RETURNSTATUS."""
    return struct.pack("<Bi", 0x79, value)


def error(problem: SqlError) -> bytes:
    """ERROR."""
    body = struct.pack("<iBB", problem.number, problem.state, problem.severity)
    body += _us_varchar(problem.message) + _b_varchar(_SERVER) + _b_varchar("") + struct.pack("<i", 1)
    return struct.pack("<BH", 0xAA, len(body)) + body


def columns(fields: Sequence[tuple[str, SqlType, bool]]) -> bytes:
    """COLMETADATA."""
    out = [struct.pack("<BH", 0x81, len(fields))]
    for name, kind, nullable in fields:
        out.append(struct.pack("<IH", 0, 0x09 if nullable else 0x08) + type_info(kind, nullable) + _b_varchar(name))
    return b"".join(out)


def transaction(kind: int, new: int, old: int) -> bytes:
    """ENVCHANGE for the begin (8), commit (9) or rollback (10) of a transaction."""
    values = b"\x08" + struct.pack("<Q", new) + b"\0" if kind == 8 else b"\0\x08" + struct.pack("<Q", old)
    return struct.pack("<BHB", 0xE3, len(values) + 1, kind) + values


def _changed(kind: int, new: str, old: str) -> bytes:
    values = _b_varchar(new) + _b_varchar(old)
    return struct.pack("<BHB", 0xE3, len(values) + 1, kind) + values


def routing(host: str, port: int) -> bytes:
    """ENVCHANGE that sends the client to another server (20; MS-TDS 2.2.7.9)."""
    data = struct.pack("<BH", 0, port) + _us_varchar(host)
    values = struct.pack("<H", len(data)) + data + b"\0\0"
    return struct.pack("<BHB", 0xE3, len(values) + 1, 20) + values


def login_answer(
    database: str, packet_size: int, earlier: int, by_token: bool, route: tuple[str, int] | None = None
) -> bytes:
    """All that a server says to a login that it lets in, or sends to another server."""
    message = f"Changed database context to '{database}'."
    body = struct.pack("<iBB", 5701, 2, 0) + _us_varchar(message) + _b_varchar(_SERVER) + _b_varchar("") + b"\1\0\0\0"
    info = struct.pack("<BH", 0xAB, len(body)) + body
    collation = bytes((0xE3, 8, 0, 7, 5)) + COLLATION + b"\0"
    program = "Microsoft SQL Server"
    ack = b"\x01" + bytes.fromhex("74000004") + _b_varchar(program) + bytes((16, 0, 0x10, 0x27))
    features = b"\xae\x02\0\0\0\0\xff" if by_token else b""
    return (
        _changed(1, database, "master")
        + info
        + collation
        + struct.pack("<BH", 0xAD, len(ack))
        + ack
        + _changed(4, str(packet_size), str(earlier))
        + features
        + (routing(*route) if route else b"")
        + done(0)
    )


def prelogin(fields: Mapping[int, bytes]) -> bytes:
    """PRELOGIN, the server's."""
    at = 5 * len(fields) + 1
    head, body = b"", b""
    for token, value in fields.items():
        head += struct.pack(">BHH", token, at + len(body), len(value))
        body += value
    return head + b"\xff" + body


def read_prelogin(data: bytes) -> dict[int, bytes]:
    """The options of a client's PRELOGIN."""
    out, at = {}, 0
    while data[at] != 0xFF:
        token, offset, length = struct.unpack_from(">BHH", data, at)
        out[token] = data[offset : offset + length]
        at += 5
    return out


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What a client says of itself."""

    user: str
    password: str
    database: str
    application: str
    packet_size: int
    token: str | None
    read_only: bool = False
    """Application intent: read only (fReadOnlyIntent of TypeFlags, MS-TDS 2.2.6.4)."""


def read_login(data: bytes) -> LoginRequest:
    """LOGIN7."""
    (packet_size,) = struct.unpack_from("<I", data, 8)

    def text(number: int) -> str:
        offset, length = struct.unpack_from("<HH", data, 36 + 4 * number)
        return data[offset : offset + length * 2].decode("utf-16-le")

    offset, length = struct.unpack_from("<HH", data, 36 + 4 * 2)
    mixed = data[offset : offset + length * 2]
    plain = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in mixed)
    token = None
    if data[27] & 0x10:
        (at,) = struct.unpack_from("<H", data, 36 + 4 * 5)
        (at,) = struct.unpack_from("<I", data, at)
        while data[at] != 0xFF:
            feature, size = struct.unpack_from("<BI", data, at)
            if feature == 0x02:
                (token_size,) = struct.unpack_from("<I", data, at + 6)
                token = data[at + 10 : at + 10 + token_size].decode("utf-16-le")
            at += 5 + size
    # Field 5 is the extension; the database is field 8.
    read_only = bool(data[26] & 0x20)
    return LoginRequest(text(1), plain.decode("utf-16-le"), text(8), text(3), packet_size, token, read_only)
