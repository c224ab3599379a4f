"""Follower: reads many tables in parallel. Threads read pages; the main thread emits them and writes checkpoints.

Each table has at most one page in flight and is read in order, so order holds within a table. One query for all tables
returns how far the log has been captured; the poll interval of an unchanged table grows. A table that cannot be read is
retried while the others continue. A lost connection pauses all tables, and is retried.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.errors import Lost
from dstream_mssql.lsn import from_bytes
from dstream_mssql.poll_schedule import PollSchedule
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.reader import Gap, Page, TableReader
from dstream_mssql.reader_threads import ReaderThreads
from dstream_mssql.retry import FIRST_PAUSE, LONGEST_PAUSE
from dstream_mssql.settings import InputSettings
from dstream_sdk import InputSession, ProviderError, RetriableError, log
from dstream_sdk.failpoints import armed, fault
from dstream_sdk.pool import Pool

_LOSSES = 3
_WHEN_CAPTURED = float("inf")
"""Due when more of the log has been captured."""


@dataclass(slots=True)
class Track:
    """A table that is followed. `successors` are the readers of newer capture instances, oldest first."""

    reader: TableReader
    position: TablePosition
    schedule: PollSchedule
    successors: list[TableReader] = field(default_factory=list)
    busy: bool = False
    stale: bool = False
    """Whether the table or its capture instances have changed, so that it must be inspected before the next read."""
    read_at: float = 0.0
    problem: ProviderError | None = None
    lasting: bool = False
    """Whether the problem is not transient, or has lasted longer than `reconnect_timeout`."""
    failing_since: float | None = None
    """When the current series of transient problems started."""
    pause: float = 0.0
    losses: int = 0
    """How many times in a row the connection was lost while this table was read."""

    @property
    def name(self) -> str:
        """The table's name in positions."""
        return self.reader.table.full


class Follower:
    """Follows the tables of one session."""

    def __init__(
        self,
        config: InputSettings,
        session: InputSession,
        pool: Pool[Database],
        tracks: Mapping[str, Track],
        position: Position,
        watch: Callable[[Follower, int], None],
    ) -> None:
        self.tracks = dict(tracks)
        self._config, self._session, self._pool, self._position, self._watch = config, session, pool, position, watch
        self._results: SimpleQueue[tuple[Track, int, Page | BaseException]] = SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        session.pace(config.checkpoint_interval, config.heartbeat)
        self._stored = position
        self._captured = 0
        self._log_schedule: PollSchedule = PollSchedule(config.poll_interval, config.max_poll_interval)
        self._lost_since: float | None = None
        self._pause = FIRST_PAUSE

    @property
    def position(self) -> Position:
        """The position of all tables."""
        positions = {name: track.position for name, track in self.tracks.items()}
        tables = {**self._position.tables, **positions}
        return replace(self._position, lsn=max(self._captured, self._position.lsn), tables=tables)

    def run(self, end: int | None) -> None:
        """Read until the session is stopping, or every table is past the LSN `end`. Raises ProviderError."""
        workers = self._config.max_connections - 1
        threads = ReaderThreads(workers)
        try:
            self._loop(threads, workers, end)
        finally:
            threads.close()
        if self._session.acks or self.position != self._stored:
            self._checkpoint()
        broken = [track for track in self.tracks.values() if track.problem is not None]
        if end is not None and broken and not self._session.stopping:
            raise ProviderError(
                f"{len(broken)} of {len(self.tracks)} tables could not be read",
                "; ".join(f"{track.name}: {track.problem}" for track in broken[:10]),
            )

    def _loop(self, threads: ReaderThreads, workers: int, end: int | None) -> None:
        session = self._session
        while not session.stopping:
            now = time.monotonic()
            self._look(now)
            self._submit(threads, workers, now, end)
            if end is not None and self._finished(end):
                return
            self._take(self._wait(now))
            self._advance()

    def _look(self, now: float) -> None:
        """If it is due, query how far the log has been captured, and make tables with new changes due.

        `watch` runs before anything is read up to the new LSN: changes that follow a new capture instance or an ALTER
        TABLE must be read by readers that include it.
        """
        if now < self._log_schedule.due:
            return
        try:
            with self._pool.lend() as database:
                ((found,),) = database.rows(statements.MAX_LSN)
            captured = from_bytes(found)
            self._watch(self, captured)
        except RetriableError as problem:
            self._connection_lost(problem, now)
            return
        self._reconnected()
        if captured > self._captured:
            self._captured = captured
            self._log_schedule.found(now, more=False)
            for track in self.tracks.values():
                if track.schedule.due == _WHEN_CAPTURED:
                    track.schedule.due = track.read_at + track.schedule.interval
        else:
            self._log_schedule.idle(now)

    def _submit(self, threads: ReaderThreads, workers: int, now: float, end: int | None) -> None:
        if self._lost_since is not None and now < self._log_schedule.due:
            return
        limit = self._session.max_records
        running = sum(track.busy for track in self.tracks.values())
        upto = self._captured if end is None else min(self._captured, max(end, 0))
        for track in sorted(self.tracks.values(), key=lambda one: one.schedule.due):
            if running >= workers or track.schedule.due > now:
                break
            if track.busy or track.stale:
                continue
            self._switch_instance(track)
            bound = upto
            if track.successors:
                bound = min(upto, track.successors[0].instance.start_lsn - 1)
            if track.position.first > bound:
                track.schedule.due = _WHEN_CAPTURED
                continue
            most = None if limit is None else max(1, limit - self._session.records)
            track.busy = True
            running += 1
            threads.submit(partial(self._read, track, track.position, bound, most))
            if limit is not None:
                break  # one page at a time, so that no more than the limit is read

    def _switch_instance(self, track: Track) -> None:
        """Continue in the next capture instance once everything before its start LSN has been read."""
        while track.successors and track.position.seq is None:
            reader = track.successors[0]
            if track.position.first < reader.instance.start_lsn:
                return
            log(f"{track.name}: continues in the capture instance {reader.instance.name}")
            track.successors.pop(0)
            track.reader = reader
            track.position = replace(track.position, instance=reader.instance.name, object_id=reader.instance.object_id)

    def _read(self, track: Track, position: TablePosition, upto: int, most: int | None) -> None:
        """Read a page and pass it to the main thread. Runs in a reader thread."""
        result: Page | BaseException
        try:
            with self._pool.lend() as database:
                result = track.reader.page(database, position, upto, most)
        except BaseException as problem:  # noqa: BLE001 - the main thread handles it
            result = problem
        self._results.put((track, upto, result))
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    def _wait(self, now: float) -> float:
        """Return the seconds until something is due."""
        due = [self._log_schedule.due]
        if self._lost_since is None:
            due += [track.schedule.due for track in self.tracks.values() if not track.busy and track.schedule.due > now]
        return max(0.0, min(due) - now)

    def _take(self, patience: float) -> None:
        """Emit the pages that are ready. Waits up to `patience` seconds if there are none."""
        if self._results.empty():
            self._session.flush()
            ready, _, _ = select.select([self._session.stop_fd, self._wake_read], [], [], patience)
            if self._wake_read not in ready:
                return
        with suppress(Empty):
            while True:
                track, upto, result = self._results.get_nowait()
                os.read(self._wake_read, 1)
                self._emit(track, upto, result)

    def _emit(self, track: Track, upto: int, result: Page | BaseException) -> None:
        track.busy = False
        now = track.read_at = time.monotonic()
        if isinstance(result, BaseException):
            self._fail(track, result, now)
            return
        track.losses, track.failing_since = 0, None
        if track.problem is not None:
            log(f"{track.name}: can be read again")
            track.problem, track.pause, track.lasting = None, 0.0, False
        session = self._session
        if result.count:
            if armed("mid_page") and result.count > 1:
                self._crash_within(result)
            session.emit_bytes(result.lines, result.count)
            track.schedule.found(now, more=result.full)
        elif result.full or result.position.first <= min(upto, self._captured):
            track.schedule.found(now, more=True)
        else:
            track.schedule.idle(now)
        if track.successors and result.position.seq is None:
            track.schedule.due = now
        track.position = result.position
        self._advance()

    def _fail(self, track: Track, problem: BaseException, now: float) -> None:
        if isinstance(problem, Lost):
            track.losses += 1
            if track.losses < _LOSSES:
                self._connection_lost(problem, now)
                return
            # The other tables can still connect and read, so it is the read of this table that breaks the connection.
        if not isinstance(problem, ProviderError) or isinstance(problem, Gap):
            raise problem
        track.lasting = self._is_lasting(track, problem, now)
        if track.lasting and self._config.on_table_error == "fail":
            raise problem
        if track.problem is None or str(track.problem) != str(problem):
            log(f"{track.name}: cannot be read; the other tables continue: {problem}")
        track.problem = problem
        track.pause = min(max(track.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        track.schedule.due = now + track.pause

    def _is_lasting(self, track: Track, problem: ProviderError, now: float) -> bool:
        if not isinstance(problem, RetriableError):
            return True
        if track.failing_since is None:
            track.failing_since = now
        return now - track.failing_since > self._config.reconnect_timeout

    def _connection_lost(self, problem: RetriableError, now: float) -> None:
        """Wait with growing pauses, up to `reconnect_timeout`."""
        if self._lost_since is None:
            self._lost_since = now
            log(f"{problem}; retrying")
        elif now - self._lost_since > self._config.reconnect_timeout:
            raise problem
        self._log_schedule.due = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _reconnected(self) -> None:
        if self._lost_since is not None:
            log("reconnected")
            self._lost_since, self._pause = None, FIRST_PAUSE
            for track in self.tracks.values():
                track.schedule.due = 0.0

    def _finished(self, end: int) -> bool:
        if self._captured < end or any(track.busy for track in self.tracks.values()):
            return False
        return all(
            track.lasting or (track.position.seq is None and track.position.lsn >= end)
            for track in self.tracks.values()
        )

    def _advance(self) -> None:
        """Pass the position to the session, which writes it when a checkpoint is due."""
        position = self.position
        if position != self._stored:
            self._stored = position
            self._session.advance(position.to_json)

    def _checkpoint(self) -> None:
        self._stored = self.position
        self._session.checkpoint(self._stored.to_json())

    def _crash_within(self, page: Page) -> None:
        """Trigger the failpoint in the middle of a page, after all but its last line are written."""
        *first, _ = page.lines.splitlines(keepends=True)
        self._session.emit_bytes(b"".join(first), len(first))
        self._session.flush()
        fault("mid_page")
