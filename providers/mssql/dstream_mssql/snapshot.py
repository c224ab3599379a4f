"""Snapshot: the existing rows of a table, delivered as `Read` when it is first followed.

CDC is already on and captures all later changes. For each table, on two connections:

1. The first takes a shared lock on the table, which waits for active writers and blocks new ones, and reads the end of
   the log. Transactions on this table that have committed are before that LSN, later ones are after it.
2. The second begins a SNAPSHOT transaction and reads one row of the table. Then the lock is released; it is held for
   milliseconds.
3. A checkpoint with that LSN is stored, and the rows are read as of that moment. Changes are followed from that LSN:
   none is missing, and none is repeated.

If the database does not allow SNAPSHOT isolation, or this login cannot read the end of the log, rows are read without
it, and changes are followed from the newest captured LSN before: those made meanwhile are delivered again after the
rows, with the same result.

An interrupted snapshot of a table starts over, after a Truncate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.decoder import Decoder
from dstream_mssql.envelopes import Envelopes
from dstream_mssql.errors import number_of
from dstream_mssql.lsn import from_bytes, from_log, to_hex
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.reader import TableReader
from dstream_mssql.settings import InputSettings
from dstream_mssql.tds_rows import RowBytes
from dstream_sdk import DeniedError, InputSession, InvalidError, RetriableError, Stopped, log
from dstream_sdk.pool import Pool
from dstream_sdk.snapshot import TableSnapshot

_PATIENCE = 0.05
_LOCK_TIMEOUT, _LOCK_TIMED_OUT = "SET LOCK_TIMEOUT 5000", 1222
_BETWEEN_CHECKPOINTS = 10_000


class SnapshotReader:
    """Reads the rows of tables for one session."""

    def __init__(self, config: InputSettings, session: InputSession, pool: Pool[Database], *, isolated: bool) -> None:
        self._config, self._session, self._pool, self._isolated = config, session, pool, isolated

    def read(self, reader: TableReader, position: Position) -> Position:
        """Read the rows of a table, and return the position after that. An interrupted snapshot starts over.

        Raises Stopped, ProviderError.
        """
        name = reader.table.full
        before = position.tables[name]
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(self._pool.lend())
            lsn = self._begin(reader, database, stack)
            again = before.truncate or before.rows > 0 or before.lsn > 0
            table_position = TablePosition(
                reader.instance.name, reader.instance.object_id, lsn, reading=True, truncate=again
            )
            return self._rows(reader, database, position, table_position)

    def interrupted(self, name: str, position: Position) -> Position:
        """Return the position after an interruption: the delivered rows must be removed."""
        return _with(position, name, replace(position.tables[name], truncate=True, rows=1))

    def _begin(self, reader: TableReader, database: Database, stack: contextlib.ExitStack) -> int:
        """Begin the snapshot on `database`, and return its LSN."""
        if self._isolated:
            try:
                return self._exactly(reader, database, stack)
            except (DeniedError, InvalidError) as problem:
                self._isolated = False
                log(
                    "tables are read without a consistent snapshot, so changes made meanwhile are delivered again "
                    f"after the rows: {problem.detail}. For a consistent snapshot grant VIEW DATABASE STATE and allow "
                    "snapshot isolation (ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON)."
                )
        ((found,),) = database.rows(statements.MAX_LSN)
        return max(from_bytes(found), reader.instance.start_lsn - 1)

    def _exactly(self, reader: TableReader, database: Database, stack: contextlib.ExitStack) -> int:
        table = reader.table
        while True:
            try:
                with self._pool.lend() as other, other.transaction():
                    other.run("set a timeout for locks", _LOCK_TIMEOUT)
                    other.rows(statements.lock(table))
                    ((end,),) = other.rows(statements.LOG_END)
                    stack.enter_context(database.snapshot())
                    database.rows(statements.first_row(table))
                    # Prove that the lock was held throughout: a broken connection would have admitted writers.
                    other.rows(statements.STILL_THERE)
                    return from_log(end)
            except RetriableError as problem:
                if number_of(problem) != _LOCK_TIMED_OUT:
                    raise
                log(f"{table.full}: waiting for transactions that lock it")
                if self._session.wait(_PATIENCE):
                    raise Stopped from None

    def _rows(
        self, reader: TableReader, database: Database, position: Position, table_position: TablePosition
    ) -> Position:
        name = reader.table.full
        snapshot = TableSnapshot(
            self._session,
            _BETWEEN_CHECKPOINTS,
            lambda rows: _with(position, name, replace(table_position, rows=rows)).to_json(),
        )
        snapshot.begin()
        envelopes = Envelopes(reader.table, before_images=False)
        lsn = to_hex(table_position.lsn)
        if table_position.truncate:
            self._session.emit_bytes(envelopes.truncate(lsn))
        with database.errors(f"read the rows of {reader.table}"):
            columns = [column.selected for column in reader.columns]
            source = RowBytes(database.execute(statements.rows(reader.table, columns)))
            decoder = Decoder(source.columns, reader.key, strings=self._config.values == "string")
            for found in _pieces(decoder, source):
                lines = envelopes.read(found, lsn, snapshot.rows + 1)
                snapshot.emit(b"".join(lines), len(lines))
        position = _with(position, name, replace(table_position, reading=False, truncate=False, rows=0))
        snapshot.end(position.to_json())
        log(f"{reader.table}: read {snapshot.rows} rows")
        return position


def _with(position: Position, name: str, table_position: TablePosition) -> Position:
    return replace(position, tables={**position.tables, name: table_position})


def _pieces(decoder: Decoder, source: RowBytes) -> Iterator[list[tuple[bytes, bytes | None]]]:
    more = True
    fetch: Callable[[RowBytes, list[tuple[bytes, bytes | None]]], bool] = decoder.fetch
    while more:
        found: list[tuple[bytes, bytes | None]] = []
        more = fetch(source, found)
        if found:
            yield found
