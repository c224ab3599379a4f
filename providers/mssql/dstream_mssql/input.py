"""The input: plan of what a task needs, and the order of a session: look, check, snapshot, follow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dstream_mssql.names import Pattern, Table, parse_patterns, parse_table
from dstream_mssql.settings import InputSettings, seconds
from dstream_sdk import Input, InputSession, InvalidError, PlanContext, ProviderError, Resource, Stream, log

if TYPE_CHECKING:
    from dstream_mssql.catalog import Catalog, Instance, Source
    from dstream_mssql.database import Database
    from dstream_mssql.follow import Follower, Track
    from dstream_mssql.position import Place, Position
    from dstream_mssql.reader import TableReader

CDC_DATABASE, CDC_TABLE = "mssql_cdc_database", "mssql_cdc_table"


class SqlServerInput(Input[InputSettings]):
    """Change data of SQL Server tables, out of their change tables."""

    discovers = True

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream]:
        """CDC of the database and the tables, where it is missing or was enabled by us; a stream per table."""
        patterns = patterns_of(config)
        keys = keys_of(config)
        if config.discover:
            from dstream_mssql.planning import discovered

            yield from discovered(config, patterns, keys)
            return
        if not patterns or any(pattern.wild for pattern in patterns):
            raise InvalidError(
                "Invalid setting",
                "config.discover: patterns, and an empty `tables`, can only be planned by asking the server; name the "
                "tables, or leave `discover` as it is",
                path="config.discover",
            )
        from dstream_mssql.database import target_of
        from dstream_mssql.planning import needed

        tables = [pattern.table for pattern in patterns]
        if config.manage:
            yield from needed(config, target_of(config.connection_string).database, tables)
        for table in tables:
            yield Stream(str(table), tuple(keys.get(table.folded, ())))

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Connect, look at the database, and decide where to go on."""
        self._session = _Session(config, session)
        self._session.prepare()

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read what is missing of the tables' rows, then follow the change tables."""
        self._session.run()


class _Session:
    """One run of the input."""

    def __init__(self, config: InputSettings, session: InputSession) -> None:
        from dstream_mssql.database import target_of
        from dstream_mssql.pool import Pool
        from dstream_mssql.watch import Watch

        self._config, self._session = config, session
        self._patterns, self._exclude = patterns_of(config), parse_list(config.exclude, "exclude")
        self._keys = keys_of(config)
        self._target = target_of(config.connection_string)
        self._pool = Pool(self._target)
        self._watch = Watch(config)
        self._renew_at = time.monotonic() + seconds(config.refresh_interval)
        self._instances: frozenset[int] = frozenset()
        if self._target.ignored:
            log(f"without effect in the connection string: {', '.join(self._target.ignored)}")
        if config.lock_config:
            log(
                f"lock_config ({', '.join(sorted(config.lock_config))}) has no effect: dstream keeps one runner per "
                f"task "
                "by the lease on its state"
            )

    def prepare(self) -> None:
        """Everything that can be refused before the session is ready. Raises ProviderError."""
        from dstream_mssql import statements
        from dstream_mssql.catalog import look
        from dstream_mssql.lsn import from_bytes
        from dstream_mssql.position import Position

        with self._pool.lend() as database:
            catalog = look(database)
            ((found,),) = database.rows(statements.MAX_LSN) if catalog.cdc else [(None,)]
        captured = from_bytes(found)
        self._end = captured if self._session.until_current else None
        self._catalog = catalog
        self._instances = frozenset(one.object_id for source in catalog.sources.values() for one in source.instances)
        stored = self._session.checkpoint_position
        if stored is None:
            self._position = Position(catalog.database, catalog.guid, captured)
        else:
            self._position = Position.from_json(stored)
            self._check_database(self._position, catalog, captured)
        self._tracks, places = self._begin(catalog, self._position, captured)
        self._position = replace(self._position, database=catalog.database, guid=catalog.guid, tables=places)

    def run(self) -> None:
        """Read rows, then changes, until the session is to stop. Raises ProviderError."""
        from dstream_mssql.follow import Follower
        from dstream_mssql.snapshot import SnapshotReader, Stopped

        config, session = self._config, self._session
        try:
            self._snapshots = SnapshotReader(config, session, self._pool, isolated=self._catalog.snapshot_isolation)
            for track in self._tracks.values():
                if session.stopping:
                    return
                self._position = self._snapshot(track, self._position)
            follower = Follower(config, session, self._pool, self._tracks, self._position, self._look)
            follower.run(self._end)
        except Stopped:
            return
        finally:
            self._pool.close()

    def _snapshot(self, track: Track, position: Position) -> Position:
        """Read the rows of a table if they are to be read; return the position with that."""
        if track.place.reading:
            position = self._snapshots.read(track.reader, position)
            track.place = position.tables[track.name]
        return position

    def _look(self, follower: Follower, captured: int) -> None:
        """Called now and then while tables are followed."""
        behind = [track.place.first for track in follower.tracks.values() if track.place.first <= captured]
        with self._pool.lend() as database:
            self._watch.look(database, min(behind, default=None))
            if self._end is not None or time.monotonic() < self._renew_at:
                return
            self._renew_at = time.monotonic() + seconds(self._config.refresh_interval)
            self._renew(follower, database, captured)
        for track in list(follower.tracks.values()):
            self._snapshot(track, follower.position)

    def _renew(self, follower: Follower, database: Database, captured: int) -> None:
        """Follow tables and capture instances that are new. Raises Gap."""
        from dstream_mssql import statements
        from dstream_mssql.catalog import look

        now = frozenset(row[1] for row in database.rows(statements.INSTANCES))
        if now == self._instances:
            return
        catalog = look(database)
        done = True
        for source in catalog.chosen(self._patterns, self._exclude):
            if not source.instances:
                continue
            track = follower.tracks.get(source.table.full)
            if track is None:
                log(f"{source.table.full}: is followed from now on")
                follower.tracks[source.table.full] = self._track(source, None, captured)
            elif track.busy:
                done = False
            else:
                again = self._track(source, track.place, captured)
                track.place, track.reader, track.successors = again.place, again.reader, again.successors
                track.pace.due = 0.0
        if done:
            self._instances = now

    def _track(self, source: Source, stored: Place | None, captured: int) -> Track:
        """What it takes to follow a table from its stored place on. Raises Gap."""
        from dstream_mssql.follow import Track
        from dstream_mssql.pacing import Pace

        place = self._place(source, stored, captured)
        reader, *successors = self._readers(source, place)
        pace = Pace(seconds(self._config.poll_interval), seconds(self._config.max_poll_interval))
        return Track(reader, place, pace, successors)

    def _check_database(self, position: Position, catalog: Catalog, captured: int) -> None:
        if (position.guid, position.database.lower()) != (catalog.guid, catalog.database.lower()):
            self._gap(
                f"this is another database ({catalog.database}, {catalog.guid}) than the checkpoint's "
                f"({position.database}, {position.guid})"
            )
        elif position.lsn > captured and captured:
            from dstream_mssql.lsn import to_hex

            self._gap(
                f"the database is captured up to {to_hex(captured)}, before the checkpoint {to_hex(position.lsn)}: "
                f"it was "
                "restored, or CDC was enabled again"
            )

    def _gap(self, reason: str) -> None:
        if self._config.on_gap == "fail":
            raise ProviderError(
                "Changes may be lost",
                f"{reason}. The checkpoint cannot be resumed without a gap. To empty the target's tables and read "
                'them again, set on_gap = "snapshot"; to go on from here in spite of the gap, reset the checkpoint.',
            )
        log(f"changes may be lost, tables are read again: {reason}")
        self._position = replace(
            self._position,
            tables={name: replace(place, object_id=-1) for name, place in self._position.tables.items()},
        )

    def _begin(self, catalog: Catalog, position: Position, captured: int) -> tuple[dict[str, Track], dict[str, Place]]:
        """The tables to follow, each with its place. Raises ProviderError."""
        tracks: dict[str, Track] = {}
        gaps: list[ProviderError] = []
        for source in self._sources(catalog):
            name = source.table.full
            try:
                tracks[name] = self._track(source, position.tables.get(name), captured)
            except ProviderError as problem:
                gaps.append(problem)
        if gaps:
            raise gaps[0] if len(gaps) == 1 else _together(gaps)
        return tracks, {name: track.place for name, track in tracks.items()}

    def _sources(self, catalog: Catalog) -> list[Source]:
        """The chosen tables that can be followed. Raises ProviderError if there are none."""
        if not catalog.cdc:
            raise ProviderError(
                "CDC is not enabled",
                f"change data capture is off in the database {catalog.database}. `dstream apply` enables it (this "
                f"takes "
                "sysadmin, or db_owner in Azure SQL); by hand: EXEC sys.sp_cdc_enable_db.",
            )
        chosen = catalog.chosen(self._patterns, self._exclude)
        problems = [f"{name} does not exist, or this login may not see it" for name in catalog.missing(self._patterns)]
        problems += [
            f"{source.table.full} has no capture instance: `dstream apply` makes one"
            for source in chosen
            if not source.instances
        ]
        found = [source for source in chosen if source.instances]
        if not found or (problems and self._config.on_table_error == "fail"):
            raise ProviderError(
                "No table to follow",
                "; ".join(problems)
                or "no table of the database has CDC, or this login may not see any (it needs SELECT on them and the "
                "schema cdc)",
            )
        for problem in problems:
            log(f"the other tables go on: {problem}")
        return found

    def _place(self, source: Source, stored: Place | None, captured: int) -> Place:
        """Where a table goes on. Raises Gap."""
        from dstream_mssql.position import Place
        from dstream_mssql.reader import lost

        newest = source.instances[-1]
        if stored is None:
            if self._config.snapshot == "initial":
                return Place(newest.name, newest.object_id, 0, reading=True)
            if self._config.start == "now":
                return Place(newest.name, newest.object_id, max(captured, newest.start_lsn - 1))
            oldest = source.instances[0]
            return Place(oldest.name, oldest.object_id, max(oldest.start_lsn - 1, 0))
        again = Place(newest.name, newest.object_id, stored.lsn or 1, reading=True, rows=1, truncate=True)
        if stored.reading:
            return replace(again, truncate=stored.truncate or stored.lsn > 0)
        if stored.object_id == -1:
            return again
        for instance in source.instances:
            if instance.object_id == stored.object_id:
                if instance.start_lsn <= stored.first:
                    return stored
                break
        # The instance is gone or was cleaned up: another one that holds all that follows will do.
        for instance in source.instances:
            if instance.start_lsn <= stored.first:
                log(f"{source.table.full}: goes on in the capture instance {instance.name}")
                return replace(stored, instance=instance.name, object_id=instance.object_id)
        instance = min(source.instances, key=lambda one: one.start_lsn)
        problem = lost(source.table, instance, stored, instance.start_lsn)
        if self._config.on_gap == "fail":
            raise problem
        log(f"{problem.summary}, the table is read again: {problem.detail}")
        return again

    def _readers(self, source: Source, place: Place) -> list[TableReader]:
        """Readers of the instance that a place is in, and of those that were made after it."""
        from dstream_mssql.catalog import check_key
        from dstream_mssql.reader import TableReader

        key = source.key(self._keys.get(source.table.folded, ()))
        check_key(source, key)
        at = next(at for at, one in enumerate(source.instances) if one.object_id == place.object_id)
        later: tuple[Instance, ...] = source.instances[at:]
        return [TableReader(source, one, key, self._config) for one in later]


def _together(problems: list[ProviderError]) -> ProviderError:
    return type(problems[0])(problems[0].summary, "; ".join(problem.detail for problem in problems))


def patterns_of(config: InputSettings) -> tuple[Pattern, ...]:
    """The tables to follow. Raises InvalidError for what is not the name of one."""
    return parse_list(config.tables, "tables")


def parse_list(texts: list[str], name: str) -> tuple[Pattern, ...]:
    """Patterns of a setting. Raises InvalidError."""
    try:
        return parse_patterns(texts)
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.{name}: {problem}", path=f"config.{name}") from None


def keys_of(config: InputSettings) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The keys that the configuration gives, by folded table. Raises InvalidError."""
    try:
        found: dict[Table, Any] = {parse_table(name): tuple(columns) for name, columns in config.keys.items()}
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.keys: {problem}", path="config.keys") from None
    patterns = patterns_of(config)
    for table in found:
        if patterns and not any(pattern.matches(table) for pattern in patterns):
            raise InvalidError("Invalid setting", f"config.keys: {table.full} is not in `tables`", path="config.keys")
    return {table.folded: columns for table, columns in found.items()}
