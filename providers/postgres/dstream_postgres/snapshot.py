"""Snapshot: the rows that a table has when it is first followed, delivered as `Read`.

The slot is there already and keeps all later changes.

1. Wait until every transaction that was running has ended. One that changed a table before it was in the publication
   would otherwise be neither visible nor in the stream.
2. Write a checkpoint that marks the next tables as being read, and wait until it is stored: what was delivered of a
   reading that is forgotten in a crash could be deleted before the next one, and would stay in the target.
3. In a REPEATABLE READ transaction record `pg_current_snapshot()`, and only then the end of the log.
4. Read the rows of one table after the other, with a checkpoint after each chunk, so that no sink has to hold all of
   them. After a few seconds the next table gets a new transaction: an old one keeps the server from cleaning up.

The stream then skips exactly the transactions that are visible in that snapshot, by transaction id. Comparing log
positions instead loses rows: a transaction's commit record is written before the transaction becomes visible.

A standby does not list running transactions in its snapshots. There a snapshot is taken at a moment when no transaction
of the primary is in progress; if there is none, the snapshot is refused.

Interrupted reading starts over with the tables that were marked, after a Truncate of each; tables that were read are
not read again. Continuing after the last chunk would mix two snapshots in one table: changes made in between would
be missing from its first part, or be repeated, in a wrong order, on top of its second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dstream_postgres.catalog import TableShape
from dstream_postgres.columns import attributes_of, stream_of
from dstream_postgres.copied import compile_rows
from dstream_postgres.copyout import copy_out
from dstream_postgres.database import rows
from dstream_postgres.encoder import Encoder
from dstream_postgres.lsn import parse_lsn, position_prefix
from dstream_postgres.names import Table, quote
from dstream_postgres.position import UNREAD, Position, TableSnapshot
from dstream_postgres.published import Member
from dstream_sdk import InputSession, ProviderError, log
from dstream_sdk.errors import Stopped
from dstream_sdk.snapshot import TableSnapshot as ChunkedRows

_PATIENCE = 0.05
_TOGETHER = 100
"""Tables that are marked by one checkpoint."""
_SHARED = 10.0
"""Seconds after which the next table is read in a new transaction."""
_STANDBY_PATIENCE = 60.0
_END = b'"}}\n'

WRITTEN = (
    "CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_replay_lsn(), coalesce(pg_last_wal_receive_lsn(), '0/0'))"
    " ELSE pg_current_wal_insert_lsn() END"
)
"""Where the log is: no commit record of a visible transaction is behind it."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A table whose rows are to be read. `again`: the target may hold rows of an earlier reading."""

    table: Table
    member: Member
    shape: TableShape
    again: bool


class SnapshotReader:
    """Reads the rows of tables for one session, over a connection that it alone uses."""

    def __init__(self, connection: Any, session: InputSession, chunk_rows: int) -> None:
        self._connection = connection
        self._session = session
        self._chunk_rows = chunk_rows
        self._opened_at: float | None = None
        self._current = TableSnapshot()

    def read(self, tables: Sequence[Unread], position: Position) -> Position:
        """Read tables, in their order; return the position with them read. Raises Stopped, psycopg2.Error."""
        self._wait_for_running_transactions()
        try:
            for start in range(0, len(tables), _TOGETHER):
                window = tables[start : start + _TOGETHER]
                position = self._mark(window, position)
                for unread in window:
                    if self._session.stopping:
                        raise Stopped
                    self._open()
                    position = self._rows(unread, position)
        finally:
            self._close()
        return position

    def _mark(self, window: Sequence[Unread], position: Position) -> Position:
        names = [str(unread.table) for unread in window]
        marked = replace(
            position,
            members={**position.members, **{str(each.table): each.member.entry for each in window}},
            relations={**position.relations, **{str(each.table): each.member.relation for each in window}},
            tables={**position.tables, **dict.fromkeys(names, UNREAD)},
        )
        checkpoint = marked.to_json()
        if self._session.checkpoint_position != checkpoint:
            self._session.checkpoint(checkpoint)
            while self._session.committed != checkpoint:
                if self._session.wait(_PATIENCE):
                    raise Stopped
        return marked

    def _open(self) -> None:
        """Have a transaction whose snapshot is known; one that is not old is shared."""
        if self._opened_at is not None and time.monotonic() - self._opened_at < _SHARED:
            return
        deadline = time.monotonic() + _STANDBY_PATIENCE
        while True:
            self._close()
            self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
            self._opened_at = time.monotonic()
            sql = "SELECT pg_current_snapshot()::text, pg_is_in_recovery()"
            ((snapshot, standby),) = rows(self._connection, sql)
            xmin, xmax, _ = snapshot.split(":")
            if not standby or xmin == xmax:
                break
            if time.monotonic() > deadline:
                raise ProviderError(
                    "No snapshot on this standby",
                    "a standby does not say which transactions are in progress, so a snapshot needs a moment without "
                    f"any; there was none in {_STANDBY_PATIENCE:.0f} s. Read the rows from the primary: run the task "
                    "with its connection string until the snapshot is complete, or stop the writers for a moment.",
                )
            if self._session.wait(_PATIENCE):
                raise Stopped
        ((here,),) = rows(self._connection, f"SELECT ({WRITTEN})::text")
        self._current = TableSnapshot(snapshot, parse_lsn(here))

    def _close(self) -> None:
        if not self._connection.closed:
            self._connection.rollback()
            self._connection.set_session(isolation_level="DEFAULT", readonly=False, autocommit=True)
        self._opened_at = None

    def _rows(self, unread: Unread, position: Position) -> Position:
        session, shape, name = self._session, unread.shape, str(unread.table)
        encoder = Encoder(name, shape.columns, shape.key, keyless=shape.keyless)
        prefix = position_prefix(self._current.until)
        if session.schemas:
            attributes = attributes_of(self._connection, unread.member.relation, unread.member.columns)
            session.schema(stream_of(self._connection, name, shape, attributes))
        if unread.again:
            session.emit_bytes(encoder.truncate(prefix + b"%08d" % 0 + _END))
        marked = position.to_json()
        chunks = ChunkedRows(session, self._chunk_rows, lambda _rows: marked)
        columns = ", ".join(quote(column.name) for column in shape.columns)
        # Partitions are a part of their table; children of an inheritance tree are tables of their own, as they are
        # for the stream. The filter is the server's own text, from its catalog.
        source = unread.table.sql if unread.member.partitioned else "ONLY " + unread.table.sql
        condition = f" WHERE {unread.member.row_filter}" if unread.member.row_filter else ""
        query = f"COPY (SELECT {columns} FROM {source}{condition}) TO STDOUT"  # noqa: S608 - quoted
        encode = compile_rows(encoder)

        def emit(block: bytes, count: int) -> None:
            while count > chunks.left():
                part = block.split(b"\n", left := chunks.left())
                block, count = part.pop(), count - left
                chunks.emit(encode(b"\n".join(part), left, prefix, chunks.rows, _END), left)
            chunks.emit(encode(block, count, prefix, chunks.rows, _END), count)

        copy_out(self._connection, query, emit, session.stop_fd)
        position = position.with_table(name, self._current)
        chunks.end(position.to_json())
        log(f"{name}: read {chunks.rows} rows")
        return position

    def _wait_for_running_transactions(self) -> None:
        """Wait for the end of all transactions that are running now and may write."""
        ((limit,),) = rows(self._connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric")
        warned = False
        while True:
            ((oldest,),) = rows(self._connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric")
            if oldest >= limit:
                break
            if not warned:
                log("waiting for transactions that were running before the tables were published")
                warned = True
            if self._session.wait(_PATIENCE):
                raise Stopped
