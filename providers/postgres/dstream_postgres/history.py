"""History: a digest of the write-ahead log before a position, read as a standby would read it.

A server whose files are put back from an older copy, and which is then written to beyond the checkpoint, looks the same
in every catalog: system identifier, timeline, oids and the slot. Its log is another one. So the checkpoint carries a
digest of the last page of the log before it, and the next session compares.

The slot keeps the log at least from its confirmed position on, and in a copy it stands at an earlier place than the
checkpoint: a server that no longer has this part of the log is no such copy.
"""

from __future__ import annotations

import functools
import hashlib
import select
import time
from typing import Any

from dstream_postgres.copyboth import CopyBoth
from dstream_postgres.database import connect
from dstream_postgres.lsn import format_lsn
from dstream_postgres.position import LogMark
from dstream_sdk import ProviderError, log

_PAGE = 8192
_PATIENCE = 5.0


def mark_before(dsn: str, lsn: int) -> LogMark | None:
    """A mark of the page that ends at `lsn`; None if this server does not hand out its log."""
    start = (lsn - 1) & -_PAGE
    digest = _digest(dsn, start, lsn)
    return None if digest is None else LogMark(start, lsn, digest)


def differs(dsn: str, mark: LogMark) -> bool:
    """Whether the server's log is another one than the log that was marked; False if it cannot be read any more."""
    digest = _digest(dsn, mark.start, mark.end)
    return digest is not None and digest != mark.digest


def _digest(dsn: str, start: int, end: int) -> str | None:
    import psycopg2

    try:
        connection = connect(dsn, replication=True)
    except ProviderError as problem:
        _unread(problem)
        return None
    try:
        connection.cursor().start_replication_expert(f"START_REPLICATION PHYSICAL {format_lsn(start)}", decode=False)
        return hashlib.sha256(_read(connection, end - start)).hexdigest()[:32]
    except (psycopg2.Error, ProviderError) as problem:
        _unread(problem)
        return None
    finally:
        connection.close()


def _read(connection: Any, length: int) -> bytes:
    stream = CopyBoth(connection)
    found = bytearray()
    deadline = time.monotonic() + _PATIENCE
    while len(found) < length:
        if payloads := stream.read():
            found += b"".join(payloads)
        elif time.monotonic() > deadline:
            raise ProviderError("No answer", f"{length} bytes of the log were not sent within {_PATIENCE:.0f} s")
        else:
            select.select([connection], [], [], 0.1)
    return bytes(found[:length])


def _unread(problem: Exception) -> None:
    """Log why the log cannot be read, once: only the other signs of a gap remain."""
    reason = problem.detail if isinstance(problem, ProviderError) else " ".join(str(problem).split())
    _log_once(
        f"the server's log cannot be compared; a server restored from a copy of its files is not noticed: {reason}"
    )


_log_once = functools.cache(log)
