"""Snapshot: the rows that a table has when it is first followed, delivered as `Read`.

CDC is on already and captures all later changes. For each table, on two connections:

1. One takes a shared lock on the table, which waits for the transactions that are at it and holds off others, and
   notes where the log ends. What has committed to this table is before that place, what will commit is behind it.
2. The other begins a SNAPSHOT transaction and touches the table; then the lock goes. It was held for moments.
3. A checkpoint with that place is written and stored, and the rows are read as of that moment. Changes are followed
   from that place on: nothing is missing, and nothing comes twice.

Where the database does not allow SNAPSHOT isolation, or this login may not ask where the log ends, rows are read
without it from the newest captured place on: changes made meanwhile are delivered again behind the rows, and the end
is the same.

Interrupted reading starts over with that table, after a Truncate.
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
from dstream_mssql.position import Place, Position
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
        """Read a table, again if `position` says that it was interrupted; return the position with it read.

        Raises Stopped, ProviderError.
        """
        name = reader.table.full
        before = position.tables[name]
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(self._pool.lend())
            lsn = self._begin(reader, database, stack)
            again = before.truncate or before.rows > 0 or before.lsn > 0
            place = Place(reader.instance.name, reader.instance.object_id, lsn, reading=True, truncate=again)
            return self._rows(reader, database, position, place)

    def interrupted(self, name: str, position: Position) -> Position:
        """The position after reading a table broke off: what it has delivered is to be removed."""
        return _with(position, name, replace(position.tables[name], truncate=True, rows=1))

    def _begin(self, reader: TableReader, database: Database, stack: contextlib.ExitStack) -> int:
        """Fix the moment of the snapshot on `database`; return the place in the log that belongs to it."""
        if self._isolated:
            try:
                return self._exactly(reader, database, stack)
            except (DeniedError, InvalidError) as problem:
                self._isolated = False
                log(
                    "tables are read without a consistent snapshot, so changes made meanwhile are delivered again "
                    f"behind the rows: {problem.detail}. For an exact snapshot grant VIEW DATABASE STATE and allow "
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
                    # The lock was held all the while: a broken connection would have let writers in between.
                    other.rows(statements.STILL_THERE)
                    return from_log(end)
            except RetriableError as problem:
                if number_of(problem) != _LOCK_TIMED_OUT:
                    raise
                log(f"{table.full}: waiting for transactions that lock it")
                if self._session.wait(_PATIENCE):
                    raise Stopped from None

    def _rows(self, reader: TableReader, database: Database, position: Position, place: Place) -> Position:
        name = reader.table.full
        snapshot = TableSnapshot(
            self._session,
            _BETWEEN_CHECKPOINTS,
            lambda rows: _with(position, name, replace(place, rows=rows)).to_json(),
        )
        snapshot.begin()
        envelopes = Envelopes(reader.table, before_images=False)
        lsn = to_hex(place.lsn)
        if place.truncate:
            self._session.emit_bytes(envelopes.truncate(lsn))
        with database.errors(f"read the rows of {reader.table}"):
            columns = [column.selected for column in reader.columns]
            source = RowBytes(database.execute(statements.rows(reader.table, columns)))
            decoder = Decoder(source.columns, reader.key, strings=self._config.values == "string")
            for found in _pieces(decoder, source):
                lines = envelopes.read(found, lsn, snapshot.rows + 1)
                snapshot.emit(b"".join(lines), len(lines))
        position = _with(position, name, replace(place, reading=False, truncate=False, rows=0))
        snapshot.end(position.to_json())
        log(f"{reader.table}: read {snapshot.rows} rows")
        return position


def _with(position: Position, name: str, place: Place) -> Position:
    return replace(position, tables={**position.tables, name: place})


def _pieces(decoder: Decoder, source: RowBytes) -> Iterator[list[tuple[bytes, bytes | None]]]:
    more = True
    fetch: Callable[[RowBytes, list[tuple[bytes, bytes | None]]], bool] = decoder.fetch
    while more:
        found: list[tuple[bytes, bytes | None]] = []
        more = fetch(source, found)
        if found:
            yield found
