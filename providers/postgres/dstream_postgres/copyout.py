"""CopyOut: the rows of COPY ... TO STDOUT, as many together as have arrived.

An unencrypted connection is read from its socket (`wire`), another one through psycopg2. The server sends one row in
each message.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from dstream_postgres.wire import (
    COPY_DATA,
    COPY_OUT,
    ERROR,
    HEAD,
    IGNORED,
    READY,
    Wire,
    fields_of,
    length,
    readable,
    refused,
)
from dstream_sdk import RetriableError
from dstream_sdk.errors import Stopped

_SIZE = 32 * 1024
"""Bytes that are read, and turned into lines, together: larger blocks do not stay in the processor's cache."""
_TOGETHER = 128
"""Rows that are taken together where psycopg2 hands them out."""
_DONE = b"cC"
"""The end of the rows, and of the command."""

Sink = Callable[[bytes, int], None]
"""Takes rows in COPY's text format, with line breaks between them, and their number."""


def copy_out(connection: Any, command: str, sink: Sink, stop_fd: int) -> None:
    """Run COPY in the text format, and call `sink` with its rows.

    Raises psycopg2.Error if the server refuses the command: the session stays usable. After any other error, including
    one of `sink`, the connection is closed. Raises Stopped if `stop_fd` becomes readable while no rows come.
    """
    import psycopg2

    try:
        if readable(connection):
            _by_wire(connection, command, sink, stop_fd)
        else:
            by_libpq(connection, command, sink)
    except psycopg2.Error:
        raise
    except BaseException:
        connection.close()
        raise


def by_libpq(connection: Any, command: str, sink: Sink) -> None:
    """The same through psycopg2, which calls no one while no rows come."""
    rows = _Rows(sink)
    with connection.cursor() as cursor:
        cursor.copy_expert(command, rows)
    rows.flush()


class _Rows:
    """The file that psycopg2 writes rows to, one at a time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._found: list[bytes] = []

    def write(self, row: bytes) -> None:
        self._found.append(row)
        if len(self._found) >= _TOGETHER:
            self.flush()

    def flush(self) -> None:
        found, self._found = self._found, []
        if found:
            self._sink(b"".join(found)[:-1], len(found))


def _by_wire(connection: Any, command: str, sink: Sink, stop_fd: int) -> None:
    wire = Wire(connection, _SIZE)
    wire.query(command)
    refusal: dict[bytes, bytes] | None = None
    ready = False
    while not ready:
        try:
            data = wire.take()
        except RetriableError:
            if refusal is None:
                raise
            connection.close()  # the error has ended the session
            break
        if data is None:
            if stop_fd in select.select([wire.fd, stop_fd], [], [])[0]:
                raise Stopped
            continue
        found: list[bytes] = []
        append = found.append
        at, size = 0, len(data)
        while size - at >= HEAD:
            end = at + 1 + length(data, at + 1)[0]
            if end > size:
                break
            kind = data[at]
            if kind == COPY_DATA:
                append(data[at + HEAD : end])
            elif kind == ERROR:
                refusal = fields_of(data[at + HEAD : end])
            elif kind == READY:
                ready = True
            elif kind != COPY_OUT and kind not in _DONE and kind not in IGNORED:
                raise RetriableError("Could not read the changes", f"unexpected message of kind {chr(kind)!r}")
            at = end
        wire.keep(data[at:])
        if found:
            sink(b"".join(found)[:-1], len(found))
    if refusal is not None:
        raise refused(refusal)
