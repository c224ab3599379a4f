"""Frames: the replication stream read from the socket itself, hundreds of messages at a time.

libpq hands out one message a call, which costs more than everything else that is done for a row. So the command that
starts the stream is sent past libpq, which then knows nothing of it, and what the server answers is cut into messages
here. This takes a connection that is not encrypted: an encrypted one is read through libpq (`copyboth`).

Messages: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import ctypes
import os
import select
from struct import Struct
from typing import Any

from dstream_postgres.copyboth import Replication, failure
from dstream_sdk import ProviderError, RetriableError

_SIZE = 256 * 1024
_QUERY, _COPY_DATA, _COPY_BOTH, _ERROR, _READY = b"QdWEZ"
_IGNORED = b"NSA"
"""Notice, parameter status, notification: they may come at any time."""
_ENDED = b"cC"
_XLOG_DATA, _PAYLOAD = ord("w"), 30
"""Where the payload of XLogData begins within its CopyData message."""

_length = Struct(">I").unpack_from


def readable(connection: Any) -> bool:
    """Whether the bytes on the connection's socket are those of the protocol: nothing encrypts them."""
    import psycopg2._psycopg

    encrypted = getattr(ctypes.PyDLL(psycopg2._psycopg.__file__), "PQgssEncInUse", None)
    if encrypted is None:  # a libpq from before there was such encryption, or one whose symbols are hidden
        return False
    encrypted.argtypes = (ctypes.c_void_p,)
    return not connection.info.ssl_in_use and not encrypted(ctypes.c_void_p(connection.pgconn_ptr))


class Frames(Replication):
    """A replication stream over the socket of a connection whose session is idle."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._fd: int = connection.fileno()
        self._parts: list[bytes] = []
        self._size = 0
        self._required = 5
        """Bytes that the parts must hold before the next message is complete."""
        self._problem: ProviderError | None = None

    def start(self, command: str) -> None:
        """Start the stream. Raises psycopg2.Error if the server refuses it; the session is idle again then."""
        text = command.encode() + b"\0"
        self._send(b"Q" + (len(text) + 4).to_bytes(4, "big") + text)
        refusal: dict[bytes, bytes] | None = None
        while True:
            select.select([self._fd], [], [])
            self._receive()
            data = b"".join(self._parts)
            at = 0
            while (end := _end(data, at)) <= len(data):
                kind, body, at = data[at], data[at + 5 : end], end
                if kind == _ERROR:
                    refusal = _fields(body)
                elif kind == _COPY_BOTH or (refusal is not None and kind == _READY):
                    self._keep(data[at:])
                    if refusal is not None:
                        raise _refused(refusal)
                    return
                elif kind not in _IGNORED:
                    raise RetriableError("Could not read the changes", f"unexpected message of kind {chr(kind)!r}")

    def read(self) -> list[bytes]:
        """The payloads of the changes that have arrived, in order. Answers keepalives. Raises ProviderError."""
        while self._problem is None:
            if self._size >= self._required:
                found = self._cut(b"".join(self._parts))
                if found:
                    return found
            elif not self._receive():
                return []
        raise self._problem

    def _receive(self) -> bool:
        """Take what has arrived; False if nothing has."""
        try:
            chunk = os.read(self._fd, _SIZE)
        except BlockingIOError:
            return False
        except OSError as problem:
            raise RetriableError("Could not read the changes", str(problem.strerror)) from None
        if not chunk:
            raise RetriableError("Could not read the changes", "the server closed the connection")
        self._parts.append(chunk)
        self._size += len(chunk)
        return True

    def _cut(self, data: bytes) -> list[bytes]:
        """The payloads of all whole messages; the rest is kept."""
        found: list[bytes] = []
        append = found.append
        at, size = 0, len(data)
        while size - at >= 5:
            end = at + 1 + _length(data, at + 1)[0]
            if end > size:
                break
            if data[at] == _COPY_DATA and data[at + 5] == _XLOG_DATA:
                append(data[at + _PAYLOAD : end])
            elif not self._other(data[at], data[at + 5 : end]):
                break
            at = end
        self._keep(data[at:])
        return found

    def _keep(self, rest: bytes) -> None:
        self._parts, self._size, self._required = [rest], len(rest), _end(rest, 0)

    def _other(self, kind: int, body: bytes) -> bool:
        """Take a message that is no change; False if it ends the stream: the next `read` says why."""
        if kind == _COPY_DATA:
            self._kept_alive(body)
        elif kind == _ERROR:
            fields = _fields(body)
            self._problem = failure(fields.get(b"M", b""), fields.get(b"C", b""))
        elif kind not in _IGNORED:
            ended = "the server has ended the stream" if kind in _ENDED else f"unexpected message of kind {chr(kind)!r}"
            self._problem = RetriableError("Could not read the changes", ended)
        return self._problem is None

    def _send(self, message: bytes) -> None:
        view = memoryview(message)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError as problem:
                raise RetriableError("Could not read the changes", str(problem.strerror)) from None

    def _answer(self, message: bytes) -> None:
        self._send(b"d" + (len(message) + 4).to_bytes(4, "big") + message)


def _end(data: bytes, at: int) -> int:
    """Where the message at `at` ends, or as far as its head reaches if that is not there."""
    return at + 1 + int(_length(data, at + 1)[0]) if len(data) - at >= 5 else at + 5


def _fields(body: bytes) -> dict[bytes, bytes]:
    """The fields of an error, by the letters of the protocol: C is the SQLSTATE, M the message."""
    return {field[:1]: field[1:] for field in body.split(b"\0") if field}


def _refused(fields: dict[bytes, bytes]) -> Exception:
    """The error as psycopg2 raises it."""
    import psycopg2.errors

    text, state = fields.get(b"M", b"").decode(errors="replace"), fields.get(b"C", b"").decode()
    problem: Exception
    try:
        problem = psycopg2.errors.lookup(state)(text)
    except KeyError:
        problem = psycopg2.OperationalError(text)
    problem.__setstate__({"pgcode": state, "pgerror": text})
    return problem
