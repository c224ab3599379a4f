"""Output: writes rows to tables, in one transaction with the checkpoint."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dstream_postgres.names import Table, parse_table
from dstream_postgres.settings import OutputSettings
from dstream_sdk import (
    Consequence,
    Finding,
    InvalidError,
    Output,
    OutputSession,
    PlanContext,
    ProviderError,
    Resource,
    Stream,
    log,
)
from dstream_sdk.failpoints import fault

if TYPE_CHECKING:
    import psycopg2

    from dstream_postgres.applier import Rejected
    from dstream_postgres.rows import Row

CHECKPOINT = "postgres_checkpoint"
ROWS, BYTES = 5_000, 4 * 1024 * 1024
"""A batch is applied when it holds this much."""
_KEPT = 5 * ROWS
"""The number of rows of the open transaction that are kept, to apply them again where it cannot be committed as it
is."""


def checkpoint_table(config: OutputSettings) -> Table:
    """The table that keeps checkpoints. Raises InvalidError."""
    try:
        return parse_table(config.checkpoint_table)
    except ValueError as problem:
        path = "config.checkpoint_table"
        raise InvalidError("Invalid setting", f"{path}: {problem}", path=path) from None


class PostgresOutput(Output[OutputSettings]):
    """Applies changes in the order in which they come. What arrives between two checkpoints is one transaction.

    Batches are applied by a thread of their own: while the database works, the next batch is read.
    """

    stores_checkpoint = True
    preloads = (
        "dstream_postgres.applier",
        "dstream_postgres.checkpoints",
        "dstream_postgres.origin",
        "dstream_postgres.recount",
        "dstream_postgres.refusals",
        "dstream_postgres.worker",
        "psycopg2.extras",
    )

    def plan(self, config: OutputSettings, context: PlanContext) -> Iterable[Resource]:
        """The task's row in the checkpoint table. Talks to no server."""
        table = str(checkpoint_table(config))
        yield Resource(CHECKPOINT, context.task, {"task": context.task, "table": table})

    def consequences(self, config: OutputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """How the target's tables differ from the streams, and what writing to them would fail on."""
        dsn, table = config.connection_string, checkpoint_table(config)

        import psycopg2

        from dstream_postgres.database import connect, error_of
        from dstream_postgres.target_checks import target_consequences

        connection = connect(dsn, connect_timeout=5)
        try:
            yield from target_consequences(connection, config, table, context)
        except psycopg2.Error as problem:
            raise error_of(problem, "look at the target", dsn) from None
        finally:
            connection.close()

    def open(self, config: OutputSettings, session: OutputSession) -> None:
        """Connect, take the task's checkpoint row, and look at the tables that are known."""
        import psycopg2

        from dstream_postgres.applier import Applier
        from dstream_postgres.checkpoints import CheckpointRow
        from dstream_postgres.database import connect, error_of, rows
        from dstream_postgres.origin import mark_session
        from dstream_postgres.refusals import Refusals
        from dstream_postgres.target import Target
        from dstream_postgres.worker import Worker

        # Rows are many objects without cycles: a collection for each seven hundred of them takes half of the time.
        gc.set_threshold(200_000, 20, 20)
        table = checkpoint_table(config)
        self._dsn = config.connection_string
        self._session = session
        self._connection: Any = connect(self._dsn)
        self._rows: list[Row] = []
        self._rejected: list[Rejected] = []
        self._size = 0
        self._begun = False
        self._kept: list[Sequence[Row] | Stream] = []
        self._rows_begun = 0
        self._counted: dict[str, Row] = {}
        """The tables where a row without a key was missing, each with a change of it."""
        self._checkpoints: CheckpointRow | None = None
        self._keys = {stream.name: tuple(stream.key) for stream in session.streams if stream.key}
        if config.session_replication_role != "origin":
            try:
                rows(self._connection, f"SET session_replication_role = {config.session_replication_role}")
            except psycopg2.Error as problem:
                raise error_of(problem, "set session_replication_role", self._dsn) from None
        self._connection.autocommit = False
        self._target = target = Target(self._connection, config, session.streams)
        self._applier = Applier(self._connection, target, deletes=config.deletes == "apply")
        self._worker = Worker(self._apply)
        if session.acks and session.task:
            self._checkpoints = CheckpointRow(self._connection, table, session.task)
            try:
                session.stored_checkpoint = self._checkpoints.take()
            except psycopg2.Error as problem:
                raise error_of(problem, f"use the checkpoint table {table}", self._dsn) from None
        task = session.task
        self._replay = session.replay and config.replay == "ordered"
        try:
            self._refusals = Refusals(partial(rows, self._connection), table, task)
            self._refusals.load()
            self._connection.rollback()
            if task and config.origin:
                self._connection.autocommit = True
                mark_session(self._connection, task, replay=session.replay)
                self._connection.autocommit = False
        except psycopg2.Error as problem:
            raise error_of(problem, "prepare the session", self._dsn) from None

    def describe(self, stream: Stream) -> None:
        """Take the columns that a stream has from here on, behind what waits."""
        if self._rows:
            self._hand_over()
        self._kept.append(stream)
        self._worker.put(stream)

    def write_block(self, block: bytes) -> None:
        """Take whole lines; they are applied in batches, and committed by `flush`."""
        import psycopg2

        from dstream_postgres.rows import NotARow, parse_row

        waiting, keys = self._rows, self._keys
        try:
            for line in block.split(b"\n"):
                if line:
                    try:
                        waiting.append(parse_row(line, keys))
                    except NotARow as problem:
                        self._session.reject(line, str(problem))
                        continue
                    self._size += len(line)
                    if len(waiting) >= ROWS or self._size >= BYTES:
                        self._hand_over()
                        waiting = self._rows
        except psycopg2.Error as problem:
            raise _row_error(problem, "write rows", self._dsn) from None

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        """Apply what waits, store the checkpoint, commit."""
        import psycopg2

        try:
            if self._rows:
                self._hand_over()
            self._worker.wait()
            self._settle()
            for rejected in self._rejected:
                log(f"{rejected.row.table}: a row was rejected: {rejected.reason}")
                self._session.reject(rejected.row.line, rejected.reason)
            self._rejected.clear()
            self._refusals.store()
            fault("before_commit")
            if self._checkpoints is not None:
                self._checkpoints.store(checkpoint)
            self._connection.commit()
            self._begun = False
            self._kept.clear()
            self._rows_begun = 0
        except psycopg2.Error as problem:
            raise _row_error(problem, "commit rows", self._dsn) from None

    def close(self, ended: bool) -> None:
        """Leave; what was not flushed is rolled back."""
        self._worker.close()
        self._connection.close()

    def _apply(self, batch: Sequence[Row] | Stream) -> None:
        """Apply a batch, in the worker's thread; a replay leaves out what would go back in time."""
        from dstream_postgres.applier import Rejected

        if isinstance(batch, Stream):
            self._target.describe(batch)
            return
        refusals = self._refusals
        if self._replay:
            objections = [(row, refusals.objection(row)) for row in batch]
            self._rejected += [Rejected(row, reason) for row, reason in objections if reason]
            batch = [row for row, reason in objections if not reason]
        self._applier.apply(batch)
        rejected, self._applier.rejected = self._applier.rejected, []
        aside = [each.row for each in rejected]
        if self._replay:
            gone = {id(row) for row in aside}
            refusals.forget(row for row in batch if id(row) not in gone)
        else:
            refusals.applied(batch, aside)
        self._rejected += rejected

    def _settle(self) -> None:
        """Apply the transaction again where it cannot be committed as it is, while rows can still be rejected.

        That is where a change of a row without a key found none (`recount`), and where constraints that were put off
        to the end refuse the rows: each row is then checked at its place. Raises psycopg2.Error where that is so and
        the transaction was too long to be kept: the host then continues in smaller steps.
        """
        import psycopg2

        from dstream_postgres.applier import refused
        from dstream_postgres.database import rows

        if not self._begun:
            return
        kept = self._rows_begun <= _KEPT
        self._counted = {each.row.table: each.row for each in self._rejected if each.missing}
        if kept and self._counted:
            self._again("DEFERRED")
        try:
            rows(self._connection, "SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg2.Error as problem:
            if not refused(problem) or not kept:
                raise
            self._again("IMMEDIATE")

    def _again(self, constraints: str) -> None:
        """Roll back and apply the transaction again, counting the rows of tables where one was missing."""
        from dstream_postgres.database import rows
        from dstream_postgres.recount import Recount

        self._connection.rollback()
        self._rejected.clear()
        self._target.forget()
        self._refusals.load()
        rows(self._connection, f"SET CONSTRAINTS ALL {constraints}")
        every = [row for part in self._kept if not isinstance(part, Stream) for row in part]
        recounts = [
            Recount(
                self._connection,
                self._target.table_for(example),
                [row for row in every if row.table == name and self._applier.applies(row)],
            )
            for name, example in self._counted.items()
        ]
        for recount in recounts:
            recount.before()
        waiting: list[Row] = []
        for part in self._kept:
            if isinstance(part, Stream):
                self._apply(waiting)
                waiting = []
                self._apply(part)
            else:
                waiting += part
        self._apply(waiting)
        for recount in recounts:
            missing = [each.row for each in self._rejected if each.missing]
            self._rejected = recount.after(self._rejected)
            still = {id(each.row) for each in self._rejected}
            found = [row for row in missing if id(row) not in still]
            self._refusals.forget(found)
            if not self._replay:
                self._refusals.applied(found, ())

    def _hand_over(self) -> None:
        from dstream_postgres.database import rows

        if not self._begun:
            rows(self._connection, "SET CONSTRAINTS ALL DEFERRED")
            self._begun = True
        batch, self._rows, self._size = self._rows, [], 0
        self._rows_begun += len(batch)
        if self._rows_begun <= _KEPT:
            self._kept.append(batch)
        self._worker.put(batch)


def _row_error(problem: psycopg2.Error, doing: str, dsn: str) -> ProviderError:
    """Return the error of the wire: fatal where a row is at fault, so that the host finds out which one it is."""
    from dstream_postgres.database import error_of

    found = error_of(problem, doing, dsn)
    refused = (problem.pgcode or "").startswith(("22", "23"))
    return ProviderError(found.summary, found.detail) if refused else found
