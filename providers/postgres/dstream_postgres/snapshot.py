"""Snapshot: the rows that a table has when it is first followed, delivered as `Read`.

The slot is there already and keeps all later changes. For each table:

1. Wait until every transaction that was running has ended. One that changed the table before the table was in the
   publication would otherwise be neither visible nor in the stream.
2. In a REPEATABLE READ transaction record `pg_current_snapshot()`, and only then where the log is.
3. Write a checkpoint with that snapshot and wait until it is stored. Rows read under a snapshot that is forgotten
   in a crash could be deleted before the next one, and would stay in the target for ever.
4. Read the rows, with a checkpoint after each chunk, so that no sink has to hold all of them at once.

The stream then skips exactly the transactions that are visible in that snapshot, by transaction id. Comparing log
positions instead loses rows: a transaction's commit record is written before the transaction becomes visible.

Interrupted reading starts over with that table, under a new snapshot, after a Truncate; tables that were read are
not read again. Going on behind the last chunk would mix two snapshots in one table: changes made in between would
be missing from its first part, or be repeated, in a wrong order, on top of its second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from dstream_postgres.catalog import TableShape
from dstream_postgres.database import rows
from dstream_postgres.encoder import Encoder, Form, Values, form_of, one_line
from dstream_postgres.lsn import parse_lsn, position_prefix
from dstream_postgres.names import Table, quote
from dstream_postgres.position import Position, TableSnapshot
from dstream_sdk import InputSession, log
from dstream_sdk.failpoints import armed, fault

_FETCH = 2000
_PATIENCE = 0.05


WRITTEN = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END"
"""Where the log is: no commit record of a visible transaction is behind it."""


class Stopped(Exception):
    """The session is to stop; what has been read is in the last checkpoint."""


class SnapshotReader:
    """Reads the rows of tables for one session, over a connection that it alone uses."""

    def __init__(self, connection: Any, session: InputSession, chunk_rows: int) -> None:
        self._connection = connection
        self._session = session
        self._chunk_rows = chunk_rows
        self._quiet = False

    def read(self, table: Table, shape: TableShape, position: Position, where: str | None = None) -> Position:
        """Read a table, again if `position` says that it was interrupted; return the position with it read.

        `where` is the publication's row filter, as SQL. Raises Stopped, psycopg2.Error.
        """
        self._wait_for_running_transactions()
        self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
        try:
            (snapshot,) = rows(self._connection, "SELECT pg_current_snapshot()::text")[0]
            (here,) = rows(self._connection, f"SELECT ({WRITTEN})::text")[0]
            lsn = parse_lsn(here)
            state = position.tables.get(str(table))
            again = state is not None and (state.truncate or bool(state.snapshot))
            state = TableSnapshot(snapshot, lsn, reading=True, truncate=again)
            position = position.with_table(str(table), state)
            self._store(position)
            return self._rows(table, shape, position, state, lsn, where)
        finally:
            self._connection.rollback()
            self._connection.set_session(isolation_level="DEFAULT", readonly=False, autocommit=True)

    def _rows(
        self, table: Table, shape: TableShape, position: Position, state: TableSnapshot, lsn: int, where: str | None
    ) -> Position:
        session = self._session
        encoder = Encoder(str(table), shape.columns, shape.key)
        prefix, end = position_prefix(lsn), b'"}}\n'
        if state.truncate:
            session.emit_bytes(encoder.truncate(prefix + b"%08d" % 0 + end))
        forms = [_text_encoder(form_of(column.type_oid)) for column in shape.columns]
        read = 0
        with self._open(table, shape, where) as cursor:
            while batch := cursor.fetchmany(min(_FETCH, self._chunk_rows - read % self._chunk_rows)):
                lines = []
                for row in batch:
                    read += 1
                    values: Values = [
                        b"null" if text is None else form(text) for form, text in zip(forms, row, strict=True)
                    ]
                    lines.append(encoder.line("Read", values, prefix + b"%08d" % read + end))
                session.emit_bytes(b"".join(lines), len(lines))
                if read % self._chunk_rows == 0:
                    self._fault_point()
                    session.checkpoint(position.with_table(str(table), replace(state, rows=read)).to_json())
                    if session.stopping:
                        raise Stopped
        self._fault_point()
        position = position.with_table(str(table), replace(state, reading=False, truncate=False))
        session.checkpoint(position.to_json())
        log(f"{table}: read {read} rows")
        return position

    def _fault_point(self) -> None:
        if armed("mid_snapshot"):
            self._session.flush()
            fault("mid_snapshot")

    def _open(self, table: Table, shape: TableShape, where: str | None) -> Any:
        """A server-side cursor over the rows, whose values are PostgreSQL's text."""
        import psycopg2.extensions

        columns = ", ".join(quote(column.name) for column in shape.columns)
        cursor = self._connection.cursor(name="dstream_snapshot")
        cursor.itersize = _FETCH
        # The server sends a domain as the type below it.
        oids = {*shape.type_oids, *(column.type_oid for column in shape.columns)}
        as_text = psycopg2.extensions.new_type(tuple(oids), "DSTREAM_TEXT", lambda text, _: text)
        psycopg2.extensions.register_type(as_text, cursor)
        condition = f" WHERE {where}" if where else ""  # the server's own text, from its catalog
        cursor.execute(f"SELECT {columns} FROM {table.sql}{condition}")  # noqa: S608 - identifiers are quoted
        return cursor

    def _store(self, position: Position) -> None:
        """Write a checkpoint and wait until it is stored."""
        wanted = position.to_json()
        self._session.checkpoint(wanted)
        while self._session.committed != wanted:
            if self._session.wait(_PATIENCE):
                raise Stopped

    def _wait_for_running_transactions(self) -> None:
        """Once per session: wait for the end of all transactions that are running now and may write."""
        if self._quiet:
            return
        ((limit,),) = rows(self._connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric")
        told = False
        while True:
            ((oldest,),) = rows(self._connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric")
            if oldest >= limit:
                break
            if not told:
                log("waiting for transactions that were running before the tables were published")
                told = True
            if self._session.wait(_PATIENCE):
                raise Stopped
        self._quiet = True


def _text_encoder(form: Form) -> Callable[[str], bytes]:
    """How a value's text becomes JSON, outside of a compiled encoder."""
    return {
        Form.RAW: str.encode,
        Form.NUMBER: lambda text: text.encode() if text[-1].isdigit() else orjson.dumps(text),
        Form.BOOLEAN: lambda text: b"true" if text == "t" else b"false",
        Form.JSON: lambda text: one_line(text.encode()),
    }.get(form, orjson.dumps)
