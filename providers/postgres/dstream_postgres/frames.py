"""Frames: the replication stream read from the socket itself (`wire`).

An encrypted connection is read through libpq (`copyboth`).
"""

from __future__ import annotations

import select
from typing import Any

from dstream_postgres.copyboth import Replication, failure
from dstream_postgres.wire import (
    COPY_BOTH,
    COPY_DATA,
    ERROR,
    HEAD,
    IGNORED,
    READY,
    Wire,
    end_of,
    fields_of,
    length,
    refused,
)
from dstream_sdk import ProviderError, RetriableError

_SIZE = 256 * 1024
_ENDED = b"cC"
_XLOG_DATA, _PAYLOAD = ord("w"), 30
"""Where the payload of XLogData begins within its CopyData message."""


class Frames(Replication):
    """A replication stream over the socket of a connection whose session is idle."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._wire = Wire(connection, _SIZE)
        self._problem: ProviderError | None = None

    def start(self, command: str) -> None:
        """Start the stream. Raises psycopg2.Error if the server refuses it; the session is idle again then."""
        wire = self._wire
        wire.query(command)
        refusal: dict[bytes, bytes] | None = None
        while True:
            data = wire.take()
            if data is None:
                select.select([wire.fd], [], [])
                continue
            at = 0
            while (end := end_of(data, at)) <= len(data):
                kind, body, at = data[at], data[at + HEAD : end], end
                if kind == ERROR:
                    refusal = fields_of(body)
                elif kind == COPY_BOTH or (refusal is not None and kind == READY):
                    wire.keep(data[at:])
                    if refusal is not None:
                        raise refused(refusal)
                    return
                elif kind not in IGNORED:
                    raise RetriableError("Could not read the changes", f"unexpected message of kind {chr(kind)!r}")
            wire.keep(data[at:])

    def read(self) -> list[bytes]:
        """The payloads of the changes that have arrived, in order. Answers keepalives. Raises ProviderError."""
        while self._problem is None:
            data = self._wire.take()
            if data is None:
                return []
            found = self._cut(data)
            if found:
                return found
        raise self._problem

    def _cut(self, data: bytes) -> list[bytes]:
        """The payloads of all whole messages; the rest is kept."""
        found: list[bytes] = []
        append = found.append
        at, size = 0, len(data)
        while size - at >= HEAD:
            end = at + 1 + length(data, at + 1)[0]
            if end > size:
                break
            if data[at] == COPY_DATA and data[at + HEAD] == _XLOG_DATA:
                append(data[at + _PAYLOAD : end])
            elif not self._other(data[at], data[at + HEAD : end]):
                break
            at = end
        self._wire.keep(data[at:])
        return found

    def _other(self, kind: int, body: bytes) -> bool:
        """Take a message that is no change; False if it ends the stream: the next `read` says why."""
        if kind == COPY_DATA:
            self._kept_alive(body)
        elif kind == ERROR:
            fields = fields_of(body)
            self._problem = failure(fields.get(b"M", b""), fields.get(b"C", b""))
        elif kind not in IGNORED:
            ended = "the server has ended the stream" if kind in _ENDED else f"unexpected message of kind {chr(kind)!r}"
            self._problem = RetriableError("Could not read the changes", ended)
        return self._problem is None

    def _answer(self, message: bytes) -> None:
        self._wire.send(b"d" + (len(message) + 4).to_bytes(4, "big") + message)
