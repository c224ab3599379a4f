"""Session: one run of the input, in its order: inspect the source, read rows, follow the slot."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dstream_postgres.catalog import referred_first, shape_of
from dstream_postgres.database import connect, error_of
from dstream_postgres.history import differs, mark_before
from dstream_postgres.names import Table
from dstream_postgres.origins import OriginFilter
from dstream_postgres.position import UNREAD, Position
from dstream_postgres.relations import Relations
from dstream_postgres.settings import InputSettings
from dstream_postgres.snapshot import SnapshotReader, Unread
from dstream_postgres.source import Gap, Source, first_gaps, gaps, inspect, verify
from dstream_postgres.stream import Stream, identify
from dstream_sdk import InputSession, ProviderError, log
from dstream_sdk.errors import Stopped

_SLOT_PATIENCE = 30.0


class Session:
    """One run of the input. `keys` overrules the keys of tables."""

    def __init__(
        self,
        config: InputSettings,
        session: InputSession,
        tables: Sequence[Table],
        keys: Mapping[Table, Sequence[str]],
    ) -> None:
        self._config = config
        self._session = session
        self._tables = tables
        self._keys = keys
        self._query: Any = None
        self._replication: Any = None
        self._source: Source
        self._position: Position

    def prepare(self) -> None:
        """Connect, inspect the source, and decide where to start. Raises ProviderError."""
        import psycopg2

        try:
            self._prepare()
        except psycopg2.Error as problem:
            raise error_of(problem, "inspect the source", self._config.connection_string) from None

    def run(self) -> None:
        """Read rows, then changes, until the session is to stop. Raises ProviderError."""
        import psycopg2

        try:
            self._read_rows()
            self._follow()
        except Stopped:
            return
        except UnicodeDecodeError as problem:
            raise ProviderError(
                "Not UTF-8", f"the database has text in an encoding that is not known ({problem.reason}): convert it"
            ) from None
        except psycopg2.Error as problem:
            raise error_of(problem, "read the changes", self._config.connection_string) from None

    def _prepare(self) -> None:
        config, session = self._config, self._session
        names = [str(table) for table in self._tables]
        stored = session.checkpoint_position
        position = None if stored is None else Position.from_json(stored, names)
        self._replication = connect(config.connection_string, replication=True)
        self._source = source = inspect(
            self._connection(),
            identify(self._replication),
            config.slot_name(session.task),
            config.publication_name(session.task),
            self._tables,
            position.relations if position else {},
        )
        if position is None:
            self._position = self._begin(source)
        else:
            self._position = self._resume(position, source)

    def _begin(self, source: Source) -> Position:
        """Where to start without a checkpoint. Raises ProviderError if changes are lost already."""
        start = source.start()
        if self._config.snapshot == "initial":
            return start
        followed = replace(start, members=source.entries, relations=source.relations)
        # What dstream has created itself was created in the right order.
        found = [] if self._config.manage else first_gaps(source)
        return self._after(found, followed, source) if found else followed

    def _resume(self, position: Position, source: Source) -> Position:
        """Where to continue from a checkpoint. Raises ProviderError if changes are lost and `on_gap` says to fail."""
        found = gaps(position, source)
        if not found and position.log and differs(self._config.connection_string, position.log):
            found = [Gap("the server's log before the checkpoint is another one: it was restored from an older copy")]
        known = {table: position.members[table] for table in source.members if table in position.members}
        position = replace(
            position,
            slot=source.slot,
            members=known,
            relations={table: position.relations.get(table, source.relations[table]) for table in known},
            tables={table: one for table, one in position.tables.items() if table in source.members},
            publication_version=source.publication.version,
            publish=source.publication.publish,
        )
        if found:
            position = self._after(found, position, source)
        if self._config.snapshot == "never":
            return replace(
                position,
                members={**source.entries, **position.members},
                relations={**source.relations, **position.relations},
            )
        return position

    def _after(self, found: Sequence[Gap], position: Position, source: Source) -> Position:
        """Where to continue after gaps. Raises ProviderError if `on_gap` is "fail"."""
        reasons = "; ".join(gap.reason for gap in found)
        if self._config.on_gap == "fail":
            raise ProviderError(
                "Changes may be lost",
                f"{reasons}. The checkpoint cannot be resumed without a gap. To empty the target's tables and read "
                'them again, set on_gap = "snapshot"; to go on from here in spite of the gap, reset the checkpoint.'
                if self._session.checkpoint_position is not None
                else f"{reasons}. Earlier changes are in no stream. To read the tables' rows first, set "
                'snapshot = "initial"; or create the slot again, after the publication.',
            )
        log(f"changes may be lost, tables are read again: {reasons}")
        lost = {gap.table for gap in found}
        again = [table for table in position.members if None in lost or table in lost]
        if None in lost:
            # All is read again, under snapshots that are taken from now on: what has committed before is in them.
            end = max(source.slot_confirmed, source.end)
            position = replace(source.start(), members=position.members, relations=position.relations, lsn=end)
        return replace(
            position,
            members={**position.members, **{table: source.entries[table] for table in again}},
            relations={**position.relations, **{table: source.relations[table] for table in again}},
            tables={**position.tables, **dict.fromkeys(again, UNREAD)},
        )

    def _read_rows(self) -> None:
        unread = []
        for table in self._tables:
            name = str(table)
            state = self._position.tables.get(name)
            if name in self._position.members and not (state and state.reading):
                continue
            member = self._source.members[name]
            shape = shape_of(self._connection(), table, member, self._keys.get(table, ()))
            unread.append(Unread(table, member, shape, again=state is not None))
        if not unread:
            return
        connection = self._connection()
        by_relation = {each.member.relation: each for each in unread}
        unread = [by_relation[relation] for relation in referred_first(connection, list(by_relation))]
        with connection.cursor() as cursor:
            cursor.execute("SET row_security = off")  # an error in place of the rows that a policy lets this role see
        reader = SnapshotReader(connection, self._session, self._config.chunk_rows)
        self._position = reader.read(unread, self._position)

    def _follow(self) -> None:
        import psycopg2.errors

        config, session = self._config, self._session
        if session.stopping:
            return
        deadline = time.monotonic() + _SLOT_PATIENCE
        origins = OriginFilter(config.origin)
        changes = Stream(
            self._replication,
            session,
            self._position,
            relations=Relations(session, self._position.relations, self._keys, self._connection),
            origins=origins,
            check=self._check,
            interval=config.checkpoint_interval / 1000,
            heartbeat=config.heartbeat / 1000,
        )
        while True:
            try:
                changes.start()
                break
            except psycopg2.errors.ObjectInUse:
                # The server takes a moment to notice that the process before us is gone.
                if time.monotonic() > deadline or session.wait(0.1):
                    raise
        try:
            changes.run(self._source.end if session.until_current else None)
        finally:
            origins.report()
            self._replication.close()

    def _check(self, position: Position) -> Position:
        """Make sure that the source is still the same; the position with a new mark. Raises ProviderError."""
        verify(self._connection(), position, self._tables)
        mark = mark_before(self._config.connection_string, position.lsn)
        return position if mark is None else replace(position, log=mark)

    def _connection(self) -> Any:
        if self._query is None or self._query.closed:
            self._query = connect(self._config.connection_string)
        return self._query
