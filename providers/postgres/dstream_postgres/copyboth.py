"""CopyBoth: the replication stream of a connection that psycopg2 has opened, read and answered through its libpq.

Unencrypted connections are read faster, from their sockets (`frames`).

psycopg2's own replication cursor moves the slot on its own: as long as no change has arrived, and whenever all that
arrived is confirmed, it confirms whatever place a keepalive names. A slot must not get ahead of the stored checkpoint:
this distinguishes a slot that was created again from the old one. So the few functions of libpq that the stream takes
are called here. They are found in the library that psycopg2 is linked with, so both speak of the same connection.

Messages: PostgreSQL documentation, "Streaming Replication Protocol" (XLogData, primary keepalive, standby status
update).
"""

from __future__ import annotations

import ctypes
import time
from struct import Struct
from typing import Any

from dstream_sdk import ProviderError, RetriableError

_HEADER = 25
"""Bytes of XLogData before its payload: w, start, end of the log, time."""
_KEEPALIVE = 18
"""Bytes of a keepalive: k, end of the log, time, whether a reply is requested. No XLogData is as short."""
_TOGETHER = 256
"""The maximum number of changes that are returned together."""
_EPOCH_2000 = 946_684_800
_SQLSTATE = ord("C")

_keepalive = Struct(">cQqB").unpack
_status = Struct(">cQQQqB").pack


class Replication:
    """A started replication stream. `wal_end` is the newest place that a keepalive has named."""

    def __init__(self) -> None:
        self.wal_end = 0
        self.written = 0
        self.flushed = 0

    def read(self) -> list[bytes]:
        """The payloads of the changes that have arrived, in order. Answers keepalives. Raises ProviderError."""
        raise NotImplementedError

    def confirm(self, flushed: int, written: int, *, reply: bool = False) -> None:
        """Tell the server that all before `flushed` may be forgotten. `reply` asks for a keepalive immediately."""
        self.flushed = max(self.flushed, flushed)
        self.written = max(self.written, written, self.flushed)
        now = int((time.time() - _EPOCH_2000) * 1_000_000)
        self._answer(_status(b"r", self.written, self.flushed, self.flushed, now, reply))

    def _answer(self, message: bytes) -> None:
        raise NotImplementedError

    def _kept_alive(self, message: bytes) -> None:
        if len(message) != _KEEPALIVE or message[:1] != b"k":
            raise ProviderError("Unexpected replication message", f"{len(message)} bytes of kind {message[:1]!r}")
        _, wal_end, _, requested = _keepalive(message)
        self.wal_end = max(self.wal_end, wal_end)
        if requested:
            self.confirm(0, 0)


def failure(text: bytes, state: bytes) -> ProviderError:
    """What ended the stream, by the server's message and SQLSTATE."""
    message = " ".join(text.decode(errors="replace").split())
    if state.startswith((b"42", b"22", b"55", b"58P01")):  # the next session looks what has become of the slot
        return ProviderError("Could not read the changes", message)
    return RetriableError("Could not read the changes", message)


class CopyBoth(Replication):
    """A replication stream that psycopg2 has started."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        import psycopg2._psycopg

        # PyDLL: none of these calls blocks, so the interpreter's lock need not be given up for them.
        library = ctypes.PyDLL(psycopg2._psycopg.__file__)
        self._connection = ctypes.c_void_p(connection.pgconn_ptr)
        self._buffer = ctypes.c_void_p()
        self._reference = ctypes.byref(self._buffer)
        self._get = _function(library.PQgetCopyData, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
        self._free = _function(library.PQfreemem, None, ctypes.c_void_p)
        self._consume = _function(library.PQconsumeInput, ctypes.c_int, ctypes.c_void_p)
        self._put = _function(library.PQputCopyData, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
        self._flush = _function(library.PQflush, ctypes.c_int, ctypes.c_void_p)
        self._error = _function(library.PQerrorMessage, ctypes.c_char_p, ctypes.c_void_p)
        self._result = _function(library.PQgetResult, ctypes.c_void_p, ctypes.c_void_p)
        self._field = _function(library.PQresultErrorField, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
        self._text = _function(library.PQresultErrorMessage, ctypes.c_char_p, ctypes.c_void_p)
        self._problem: ProviderError | None = None

    def read(self) -> list[bytes]:
        if self._problem is not None:
            raise self._problem
        get, connection, reference, buffer = self._get, self._connection, self._reference, self._buffer
        found: list[bytes] = []
        consumed = False
        while len(found) < _TOGETHER:
            length = get(connection, reference, 1)
            if length > _KEEPALIVE:
                address = buffer.value or 0
                found.append(ctypes.string_at(address + _HEADER, length - _HEADER))
                self._free(address)
            elif length > 0:
                self._kept_alive(ctypes.string_at(buffer.value or 0, length))
                self._free(buffer.value)
            elif length < 0 or not (found or consumed or self._consume(connection)):
                self._problem = self._failure(length)
                if not found:
                    raise self._problem
                break
            elif found or consumed:
                break
            else:
                consumed = True
        return found

    def _answer(self, message: bytes) -> None:
        if self._put(self._connection, message, len(message)) < 0 or self._flush(self._connection) < 0:
            raise self._failure(-2)

    def _failure(self, code: int) -> ProviderError:
        """What ended the stream: the server's error, or the loss of the connection."""
        text, state = b"", b""
        if code == -1 and (result := self._result(self._connection)):
            text, state = self._text(result) or b"", self._field(result, _SQLSTATE) or b""
        return failure(text or self._error(self._connection) or b"the server has ended the stream", state)


def _function(found: Any, result: Any, *arguments: Any) -> Any:
    found.restype = result
    found.argtypes = arguments
    return found
