"""Checkpoints in the target: kept in the transaction of the data, and the fence against a session that lives on.

Each session marks the task's row with an epoch of its own, and commits nothing without finding it in place. A process
that was taken for dead, and wakes up, can therefore write nothing any more. The connection of the session before is
ended as well: a transaction that it left open would hold locks on rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.names import Table
from dstream_sdk import ConflictError

Run = Callable[[str, Any], list[tuple[Any, ...]]]
"""Runs one statement with its parameters and returns its rows."""


def create_table(run: Run, table: Table) -> None:
    """Create the checkpoint table if it is missing, within the transaction that is open."""
    if run("SELECT to_regclass(%s) IS NULL", (table.sql,))[0][0]:
        # Two tasks may start at once on a fresh database.
        run("SELECT pg_advisory_xact_lock(hashtext('dstream_checkpoint'))", None)
        run(
            f"CREATE TABLE IF NOT EXISTS {table.sql} (task text PRIMARY KEY, epoch uuid, checkpoint json,"
            " pid integer, started timestamptz, stored_at timestamptz)",
            None,
        )


def create_row(run: Run, table: Table, task: str) -> None:
    """Create a task's row, without a checkpoint, if it is missing."""
    run(f"INSERT INTO {table.sql_format} (task) VALUES (%s) ON CONFLICT DO NOTHING", (task,))  # noqa: S608 - quoted


class CheckpointRow:
    """The row of one task in the checkpoint table, as the session that took it sees it."""

    def __init__(self, connection: Any, table: Table, task: str) -> None:
        self._connection = connection
        self._table = table
        self._task = task
        self._epoch = ""

    def take(self) -> dict[str, Any] | None:
        """Start an epoch, commit it, end the session before; return the stored checkpoint."""
        create_table(self._run, self._table)
        self._connection.commit()
        create_row(self._run, self._table, self._task)
        name = self._table.sql_format
        before = self._run(
            f"SELECT pid, started FROM {name} WHERE task = %s FOR UPDATE",  # noqa: S608 - quoted
            (self._task,),
        )
        ((self._epoch, stored),) = self._run(
            f"UPDATE {name} SET epoch = gen_random_uuid(), pid = pg_backend_pid(), started ="  # noqa: S608 - quoted
            " (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
            " WHERE task = %s RETURNING epoch::text, checkpoint::text",
            (self._task,),
        )
        self._connection.commit()
        self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = %s AND backend_start = %s AND pid <> pg_backend_pid() AND usename = current_user",
            before[0],
        )
        self._connection.commit()
        return json.loads(stored) if stored else None

    def store(self, checkpoint: Mapping[str, Any] | None) -> None:
        """Write the checkpoint (None: leave it) in the open transaction. ConflictError if a later session took over."""
        name = self._table.sql_format
        if checkpoint is None:
            found = self._run(
                f"SELECT 1 FROM {name} WHERE task = %s AND epoch = %s::uuid FOR UPDATE",  # noqa: S608 - quoted
                (self._task, self._epoch),
            )
        else:
            found = self._run(
                f"UPDATE {name} SET checkpoint = %s::json, stored_at = now()"  # noqa: S608 - quoted
                " WHERE task = %s AND epoch = %s::uuid RETURNING 1",
                (json.dumps(checkpoint), self._task, self._epoch),
            )
        if not found:
            raise ConflictError(
                "Another session took over",
                f"a later run of task {self._task!r} writes to this database, or its checkpoint was removed; this "
                "session has stopped without writing",
            )

    def _run(self, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
        return rows(self._connection, sql, parameters)
