"""Wire: the socket of a connection, read and written past libpq, hundreds of messages at a time.

libpq hands out one message a call, which costs more than everything else that is done for a row. So a command is sent
past libpq, which takes the session for idle all the time, and what the server answers is cut into messages here. This
takes a connection that is not encrypted.

Messages: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import ctypes
import os
import select
from struct import Struct
from typing import Any

from dstream_sdk import RetriableError

COPY_DATA, COPY_BOTH, COPY_OUT, ERROR, READY = b"dWHEZ"
IGNORED = b"NSA"
"""Notice, parameter status, notification: they may come at any time."""
HEAD = 5
"""Bytes of a message before its body: kind and length."""

length = Struct(">I").unpack_from


def readable(connection: Any) -> bool:
    """Whether the bytes on the connection's socket are those of the protocol: nothing encrypts them."""
    import psycopg2._psycopg

    encrypted = getattr(ctypes.PyDLL(psycopg2._psycopg.__file__), "PQgssEncInUse", None)
    if encrypted is None:  # a libpq from before there was such encryption, or one whose symbols are hidden
        return False
    encrypted.argtypes = (ctypes.c_void_p,)
    return not connection.info.ssl_in_use and not encrypted(ctypes.c_void_p(connection.pgconn_ptr))


class Wire:
    """The socket of a connection whose session is idle. `size`: the number of bytes that are read together."""

    def __init__(self, connection: Any, size: int) -> None:
        self.fd: int = connection.fileno()
        self._together = size
        self._parts: list[bytes] = []
        self._size = 0
        self._required = HEAD
        """Bytes that the parts must hold before the next message is complete."""

    def query(self, command: str) -> None:
        """Send a command by the simple protocol. Raises RetriableError, as all methods do, if the connection ends."""
        text = command.encode() + b"\0"
        self.send(b"Q" + (len(text) + 4).to_bytes(4, "big") + text)

    def send(self, message: bytes) -> None:
        """Send a message, all of it."""
        view = memoryview(message)
        while view:
            try:
                view = view[os.write(self.fd, view) :]
            except BlockingIOError:
                select.select([], [self.fd], [])
            except OSError as problem:
                raise RetriableError("Could not read the changes", str(problem.strerror)) from None

    def take(self) -> bytes | None:
        """What has arrived, from the beginning of a message on, at least one message; None if that is not there yet.

        What is left of it is to be given back to `keep`.
        """
        while self._size < self._required:
            try:
                chunk = os.read(self.fd, self._together)
            except BlockingIOError:
                return None
            except OSError as problem:
                raise RetriableError("Could not read the changes", str(problem.strerror)) from None
            if not chunk:
                raise RetriableError("Could not read the changes", "the server closed the connection")
            self._parts.append(chunk)
            self._size += len(chunk)
        return b"".join(self._parts)

    def keep(self, rest: bytes) -> None:
        """Give back what follows the last message that was used."""
        self._parts, self._size, self._required = [rest], len(rest), end_of(rest, 0)


def end_of(data: bytes, at: int) -> int:
    """Where the message at `at` ends, or as far as its head reaches if that is not there."""
    return at + 1 + int(length(data, at + 1)[0]) if len(data) - at >= HEAD else at + HEAD


def fields_of(body: bytes) -> dict[bytes, bytes]:
    """The fields of an error, by the letters of the protocol: C is the SQLSTATE, M the message."""
    return {field[:1]: field[1:] for field in body.split(b"\0") if field}


def refused(fields: dict[bytes, bytes]) -> Exception:
    """The error as psycopg2 raises it."""
    import psycopg2.errors

    more = [(b"D", "DETAIL"), (b"H", "HINT"), (b"W", "CONTEXT")]
    lines = [fields.get(b"M", b""), *(f"{name}:  ".encode() + fields[key] for key, name in more if key in fields)]
    text, state = b"\n".join(lines).decode(errors="replace"), fields.get(b"C", b"").decode()
    problem: Exception
    try:
        problem = psycopg2.errors.lookup(state)(text)
    except KeyError:
        problem = psycopg2.OperationalError(text)
    problem.__setstate__({"pgcode": state, "pgerror": text})
    return problem
