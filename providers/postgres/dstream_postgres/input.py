"""The input: plan of what a task needs, and the order of a session: check, snapshot, stream."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dstream_postgres.names import Table, parse_table, parse_tables
from dstream_postgres.settings import InputSettings
from dstream_sdk import Input, InputSession, InvalidError, PlanContext, ProviderError, Resource, Stream, log

PUBLICATION, SLOT, REPLICA_IDENTITY = "postgres_publication", "postgres_replication_slot", "postgres_replica_identity"
_SLOT_PATIENCE = 30.0


class PostgresInput(Input[InputSettings]):
    """Change data of PostgreSQL tables, by logical replication through pgoutput."""

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream]:
        """The publication, the slot, replica identities; a stream per table. Talks to no server: a table's key is
        in its stream if the setting `keys` names it."""
        tables = tables_of(config)
        names = [str(table) for table in tables]
        if config.manage:
            publication, slot = config.publication_name(context.task), config.slot_name(context.task)
            before = []
            if config.replica_identity:
                for name in names:
                    wanted = {"table": name, "identity": config.replica_identity}
                    yield Resource(REPLICA_IDENTITY, name, wanted)
                    before.append((REPLICA_IDENTITY, name))
            yield Resource(
                PUBLICATION,
                publication,
                {"name": publication, "tables": names, "operations": list(config.operations)},
                depends_on=before,
            )
            # The slot comes last: what is committed after it exists is decoded with the publication as it is then.
            yield Resource(SLOT, slot, {"name": slot}, depends_on=[(PUBLICATION, publication)])
        keys = keys_of(config)
        for table in tables:
            yield Stream(str(table), tuple(keys.get(table, ())))

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Connect, inspect the source, and decide where to go on."""
        self._reader = _Session(config, session)
        self._reader.prepare()

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read what is missing of the tables' rows, then follow the slot."""
        self._reader.run()


class _Session:
    def __init__(self, config: InputSettings, session: InputSession) -> None:
        self._config = config
        self._session = session
        self._tables = tables_of(config)
        self._keys = keys_of(config)
        self._query: Any = None

    def prepare(self) -> None:
        """Connect, inspect the source, and decide where to go on. Raises ProviderError."""
        import psycopg2

        from dstream_postgres.database import error_of

        try:
            self._prepare()
        except psycopg2.Error as problem:
            raise error_of(problem, "inspect the source", self._config.connection_string) from None

    def _prepare(self) -> None:
        from dstream_postgres.database import connect
        from dstream_postgres.position import Position
        from dstream_postgres.source import inspect
        from dstream_postgres.stream import identify

        config, session = self._config, self._session
        self._replication = connect(config.connection_string, replication=True)
        source = inspect(
            self._connection(),
            identify(self._replication),
            config.slot_name(session.task),
            config.publication_name(session.task),
            self._tables,
        )
        self._end = source.end if session.until_current else None
        start = source.start()
        if session.checkpoint_position is None:
            if config.snapshot == "never":
                start = replace(start, members=source.members)
            self._position = start
        else:
            self._position = self._go_on(Position.from_json(session.checkpoint_position), source)
        if config.snapshot == "never":
            self._position = replace(self._position, members={**source.members, **self._position.members})
        self._source = source

    def run(self) -> None:
        """Read rows, then changes, until the session is to stop. Raises ProviderError."""
        import psycopg2

        from dstream_postgres.database import error_of
        from dstream_postgres.snapshot import Stopped

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

    def _go_on(self, position: Any, source: Any) -> Any:
        """Where to go on from a checkpoint. ProviderError if changes are lost and `on_gap` says to fail."""
        from dstream_postgres.position import TableSnapshot
        from dstream_postgres.source import gaps

        found = gaps(position, source)
        known = {table: position.members[table] for table in source.members if table in position.members}
        kept = {table: one for table, one in position.tables.items() if table in source.members}
        if not found:
            return replace(position, slot=source.slot, members=known, tables=kept)
        reasons = "; ".join(gap.reason for gap in found)
        if self._config.on_gap == "fail":
            raise ProviderError(
                "Changes may be lost",
                f"{reasons}. The checkpoint cannot be resumed without a gap. To empty the target's tables and read "
                'them again, set on_gap = "snapshot"; to go on from here in spite of the gap, reset the checkpoint.',
            )
        log(f"changes may be lost, tables are read again: {reasons}")
        lost = {gap.table for gap in found}
        again = set(known) if None in lost else {table for table in lost if table in known}
        base = replace(position, slot=source.slot, members=known, tables=kept)
        if None in lost:
            # All is read again, under snapshots that are taken from now on: what has committed before is in them.
            base = replace(source.start(), members=known, lsn=max(source.slot_confirmed, source.end))
        unread = TableSnapshot("", 0, reading=True, truncate=True)
        members = {table: source.members[table] if table in again else oid for table, oid in known.items()}
        return replace(base, members=members, tables={**base.tables, **dict.fromkeys(again, unread)})

    def _read_rows(self) -> None:
        from dstream_postgres.catalog import shape_of
        from dstream_postgres.snapshot import SnapshotReader, Stopped

        config = self._config
        source = self._source
        reader = SnapshotReader(self._connection(), self._session, config.chunk_rows)
        for table in self._tables:
            name = str(table)
            state = self._position.tables.get(name)
            if name in self._position.members and not (state and state.reading):
                continue
            if self._session.stopping:
                raise Stopped
            members = {**self._position.members, name: source.members[name]}
            shape = shape_of(self._connection(), table, self._keys.get(table, ()), source.columns.get(name))
            start = replace(self._position, members=members)
            self._position = reader.read(table, shape, start, source.filters.get(name))

    def _follow(self) -> None:
        import psycopg2.errors

        from dstream_postgres.source import verify
        from dstream_postgres.stream import Stream as Changes

        config = self._config
        if self._session.stopping:
            return
        deadline = time.monotonic() + _SLOT_PATIENCE
        while True:
            changes = Changes(
                self._replication,
                self._session,
                self._position,
                tables=self._tables,
                keys=self._keys,
                query=self._connection,
                verify=lambda position: verify(self._connection(), position, self._tables),
                interval=config.checkpoint_interval / 1000,
                heartbeat=config.heartbeat / 1000,
            )
            try:
                changes.start()
                break
            except psycopg2.errors.ObjectInUse:
                # The server takes a moment to notice that the process before us is gone.
                if time.monotonic() > deadline or self._session.wait(0.1):
                    raise
        try:
            changes.run(self._end)
        finally:
            self._replication.close()

    def _connection(self) -> Any:
        from dstream_postgres.database import connect

        if self._query is None or self._query.closed:
            self._query = connect(self._config.connection_string)
        return self._query


def tables_of(config: InputSettings) -> tuple[Table, ...]:
    """The tables to follow. Raises InvalidError for what is not the name of one."""
    try:
        return parse_tables(config.tables)
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.tables: {problem}", path="config.tables") from None


def keys_of(config: InputSettings) -> dict[Table, tuple[str, ...]]:
    """The keys that the configuration gives, by table. Raises InvalidError for a table that is not followed."""
    try:
        keys = {parse_table(name): tuple(columns) for name, columns in config.keys.items()}
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.keys: {problem}", path="config.keys") from None
    followed = set(tables_of(config))
    for table in keys:
        if table not in followed:
            raise InvalidError("Invalid setting", f"config.keys: {table} is not in `tables`", path="config.keys")
    return keys
