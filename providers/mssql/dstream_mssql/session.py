"""Session: one run of the input. It reads the catalog, checks the position, reads snapshots, and follows changes."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from dstream_mssql import statements
from dstream_mssql.capture_instances import unrecorded_columns
from dstream_mssql.catalog import Catalog, Source, read_catalog
from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.errors import Lost, reached
from dstream_mssql.follower import Follower, Track
from dstream_mssql.health_checks import HealthChecks
from dstream_mssql.lsn import from_bytes
from dstream_mssql.names import Table
from dstream_mssql.poll_schedule import PollSchedule
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.resume import REREAD, database_gap, readers_of, resume_position
from dstream_mssql.retry import FIRST_PAUSE, LONGEST_PAUSE, retry_transient
from dstream_mssql.selection import keys_of, parse_list, patterns_of
from dstream_mssql.settings import InputSettings
from dstream_mssql.snapshot import SnapshotReader
from dstream_mssql.start_positions import start_positions
from dstream_mssql.start_setting import start_of
from dstream_sdk import DeniedError, InputSession, ProviderError, RetriableError, Stopped, log
from dstream_sdk.pool import Pool

_AGENT_SECONDS, _POLL_SECONDS = 10.0, 0.5
"""How long to wait for the capture agent to start on tables, and how often to check."""


class Session:
    """One run of the input."""

    def __init__(self, config: InputSettings, session: InputSession) -> None:
        self._config, self._session = config, session
        self._patterns, self._exclude = patterns_of(config), parse_list(config.exclude, "exclude")
        self._keys = keys_of(config)
        target = target_of(config.connection_string)
        self._pool = Pool(partial(connect, target), lost=(Lost,))
        self._health = HealthChecks(config)
        self._renew_at = time.monotonic() + self._config.refresh_interval
        self._renewed, self._unfinished = 0, False
        self._fingerprint: tuple[object, ...] = ()
        self._denied = False
        self._waiting: frozenset[str] = frozenset()
        self._warned: dict[str, tuple[str, ...]] = {}
        if target.ignored:
            log(f"ignored keys of the connection string: {', '.join(target.ignored)}")
        if config.lock_config:
            log(
                f"lock_config ({', '.join(sorted(config.lock_config))}) has no effect: dstream keeps one runner "
                "per task by the lease on its state"
            )

    def prepare(self) -> None:
        """Check everything that can fail before the session is ready. Raises ProviderError.

        Transient errors are retried for `reconnect_timeout`. An unreachable server counts as transient if there is a
        checkpoint, which shows that it was reachable before.
        """
        resumed = self._session.checkpoint_position is not None
        if resumed:
            reached(target_of(self._config.connection_string))
        retry_transient(self._prepare, self._config.reconnect_timeout, self._session.wait, unreachable=resumed)

    def _prepare(self) -> None:
        with self._pool.lend() as database:
            catalog, captured = self._read_catalog(database)
            patience = time.monotonic() + _AGENT_SECONDS
            while self._not_started(catalog) and time.monotonic() < patience and not self._session.wait(_POLL_SECONDS):
                catalog, captured = self._read_catalog(database)
        self._end = captured if self._session.until_current else None
        self._first = self._renewed = captured
        self._catalog = catalog
        stored = self._session.checkpoint_position
        start = start_of(stored)
        if stored is None or start is not None:
            if start is not None:
                self._config = replace(self._config, start=start)
            tables = {source.table.full: source.table.folded for source in self._sources(catalog)}
            with self._pool.lend() as database:
                positions = start_positions(self._config.start, database, tables, captured)
            self._position = Position(catalog.database, catalog.guid, captured, positions)
        else:
            self._position = Position.from_json(stored)
            with self._pool.lend() as database:
                self._check_database(database, self._position, catalog, captured)
        self._tracks, positions = self._begin(catalog, self._position, captured)
        # A table that cannot be followed now keeps its position: it may resume there later, or detect a gap.
        kept = {name: table for name, table in self._position.tables.items() if self._is_selected(name)}
        self._position = Position(catalog.database, catalog.guid, captured or self._position.lsn, {**kept, **positions})

    def run(self) -> None:
        """Read snapshots, then changes, until the session stops. Raises ProviderError, Stopped."""
        config, session = self._config, self._session
        try:
            isolated = self._catalog.snapshot_isolation and not self._catalog.read_only
            if self._catalog.read_only:
                log(
                    "connected to a read-only replica, which takes no locks: rows are read without a consistent "
                    "snapshot, and changes made meanwhile are delivered again after them"
                )
            self._snapshots = SnapshotReader(config, session, self._pool, isolated=isolated)
            for track in self._tracks.values():
                if session.stopping:
                    return
                self._position = self._snapshot(track, self._position)
            follower = Follower(config, session, self._pool, self._tracks, self._position, self._look)
            follower.run(self._end)
        finally:
            self._pool.close()

    def _snapshot(self, track: Track, position: Position) -> Position:
        """Read the snapshot of a table if it is due. Returns the position after it."""
        limit = self._config.reconnect_timeout
        patience, pause = time.monotonic() + limit, FIRST_PAUSE
        while track.position.reading:
            began = time.monotonic()
            try:
                position = self._snapshots.read(track.reader, position)
                track.position = position.tables[track.name]
            except RetriableError as problem:
                # The snapshot starts over, after the rows that were read are removed from the target.
                position = self._snapshots.interrupted(track.name, position)
                if began > patience:
                    raise
                if time.monotonic() - began > limit:  # it worked for longer than a failover takes
                    patience, pause = time.monotonic() + limit, FIRST_PAUSE
                log(f"{problem}; retrying")
                if self._session.wait(pause):
                    raise Stopped from None
                pause = min(pause * 2, LONGEST_PAUSE)
        return position

    def _look(self, follower: Follower, captured: int) -> None:
        """Run the periodic checks while tables are followed."""
        behind = [track.position.first for track in follower.tracks.values() if track.position.first <= captured]
        with self._pool.lend() as database:
            self._health.run(database, min(behind, default=None))
            if self._end is not None:
                return  # the catalog was read after the end was set
            self._renew(follower, database, captured)
        for track in list(follower.tracks.values()):
            self._snapshot(track, follower.position)

    def _renew(self, follower: Follower, database: Database, captured: int) -> None:
        """Follow new tables and capture instances, and apply changes of tables. Raises Gap.

        Checks whenever more was captured, because the new changes may belong to a new instance.
        """
        now = time.monotonic()
        if captured != self._renewed or now >= self._renew_at:
            shape = self._fingerprint_of(database)
            self._unfinished = self._unfinished or shape != self._fingerprint
            self._fingerprint, self._renewed, self._renew_at = shape, captured, now + self._config.refresh_interval
        if not self._unfinished:
            return
        catalog = read_catalog(database)
        busy = False
        for source in catalog.selected(self._patterns, self._exclude):
            name = source.table.full
            self._warn(source, catalog)
            if not source.readable:
                continue
            track = follower.tracks.get(name)
            if track is None:
                log(f"{name}: following it from now on")
                since = self._first if name in self._waiting else captured
                follower.tracks[name] = self._track(source, follower.position.tables.get(name), since)
            elif track.busy:
                track.stale = busy = True
            else:
                again = self._track(source, track.position, captured)
                track.position, track.reader, track.successors = again.position, again.reader, again.successors
                track.schedule.due, track.stale = 0.0, False
        self._unfinished = busy

    def _read_catalog(self, database: Database) -> tuple[Catalog, int]:
        """Return the catalog and the newest captured LSN. The catalog is not older than the LSN."""
        captured = 0
        if any(cdc for _, cdc, *_ in database.rows(statements.DATABASE)):
            ((found,),) = database.rows(statements.MAX_LSN)
            captured = from_bytes(found)
            self._fingerprint = self._fingerprint_of(database)
        return read_catalog(database), captured

    def _fingerprint_of(self, database: Database) -> tuple[object, ...]:
        """Return a value that changes when a capture instance is added, removed or started, or a table is altered."""
        captures = database.rows(statements.CAPTURES)[0]
        try:
            return *captures, *database.rows(statements.ALTERATIONS)[0]
        except DeniedError as problem:
            if not self._denied:
                self._denied = True
                log(f"no permission to query ALTER TABLE events; new columns are detected late: {problem.detail}")
            return *captures, time.monotonic() // self._config.refresh_interval

    def _not_started(self, catalog: Catalog) -> frozenset[str]:
        """Return the selected tables whose capture instances the capture agent has not started yet."""
        chosen = catalog.selected(self._patterns, self._exclude)
        return frozenset(source.table.full for source in chosen if source.instances and not source.readable)

    def _is_selected(self, name: str) -> bool:
        """Return whether the configuration selects a table, by its name in positions."""
        table = Table(*name.split(".", 1))
        named = not self._patterns or any(pattern.matches(table) for pattern in self._patterns)
        return named and not any(pattern.matches(table) for pattern in self._exclude)

    def _warn(self, source: Source, catalog: Catalog) -> None:
        """Warn once about columns that are not captured."""
        name, lacking = source.table.full, source.uncaptured
        text = unrecorded_columns(source, catalog) if self._config.new_columns == "capture" else None
        if text is not None and self._warned.get(name) != lacking:
            self._warned[name] = lacking
            log(f"warning: {text}")

    def _track(self, source: Source, stored: TablePosition | None, captured: int) -> Track:
        """Return the track of a table that resumes at its stored position. Raises Gap."""
        position = resume_position(source, stored, captured, self._config)
        key = source.key(self._keys.get(source.table.folded, ()))
        reader, *successors = readers_of(source, position, key, self._config)
        schedule = PollSchedule(self._config.poll_interval, self._config.max_poll_interval)
        return Track(reader, position, schedule, successors)

    def _check_database(self, database: Database, position: Position, catalog: Catalog, captured: int) -> None:
        reason = database_gap(database, position, catalog, captured)
        if reason is not None:
            self._gap(reason)

    def _gap(self, reason: str) -> None:
        if self._config.on_gap == "fail":
            raise ProviderError(
                "Changes may be lost",
                f"{reason}. The checkpoint cannot be resumed without a gap. To empty the target's tables and read "
                'them again, set on_gap = "snapshot"; to continue from here despite the gap, reset the checkpoint.',
            )
        log(f"changes may be lost; reading the tables again: {reason}")
        self._position = replace(
            self._position,
            lsn=0,
            tables={name: replace(table, object_id=REREAD) for name, table in self._position.tables.items()},
        )

    def _begin(
        self, catalog: Catalog, position: Position, captured: int
    ) -> tuple[dict[str, Track], dict[str, TablePosition]]:
        """Return the tables to follow with their positions. Raises ProviderError."""
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
        return tracks, {name: track.position for name, track in tracks.items()}

    def _sources(self, catalog: Catalog) -> list[Source]:
        """Return the selected tables that can be followed. Raises ProviderError if there are none."""
        if not catalog.cdc:
            raise ProviderError(
                "CDC is not enabled",
                f"change data capture is off in the database {catalog.database}. `dstream apply` enables it (this "
                "requires sysadmin, or db_owner in Azure SQL); by hand: EXEC sys.sp_cdc_enable_db.",
            )
        chosen = catalog.selected(self._patterns, self._exclude)
        problems = [
            f"{name} does not exist, or this login has no permission to see it"
            for name in catalog.missing(self._patterns)
        ]
        problems += [
            f"{source.table.full} has no capture instance: `dstream apply` creates one"
            for source in chosen
            if not source.instances
        ]
        found = [source for source in chosen if source.readable]
        self._waiting = self._not_started(catalog)
        if not (found or self._waiting) or (problems and self._config.on_table_error == "fail"):
            raise ProviderError(
                "No table to follow",
                "; ".join(problems)
                or "no table of the database has CDC, or this login cannot see any (it needs SELECT on them and on the "
                "schema cdc)",
            )
        for problem in problems:
            log(f"the other tables continue: {problem}")
        for name in sorted(self._waiting):
            log(f"{name}: waiting for the capture agent to start with it. Check that SQL Server Agent runs.")
        for source in chosen:
            self._warn(source, catalog)
        return found


def _together(problems: list[ProviderError]) -> ProviderError:
    return type(problems[0])(problems[0].summary, "; ".join(problem.detail for problem in problems))
