"""Checkpoints in the target: kept in the transaction of the data, and the fence against a session that lives on.

Each session takes the task's row with an epoch of its own, and commits nothing without finding that epoch in place.
A process that was taken for dead, and wakes up, can therefore write nothing any more. The connection of the session
before is ended as well: a transaction that it left open would hold locks on rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.names import Table
from dstream_sdk import ConflictError


class CheckpointRow:
    """The row of one task in the checkpoint table."""

    def __init__(self, connection: Any, table: Table, task: str) -> None:
        self._connection = connection
        self._table = table
        self._task = task
        self._epoch = 0

    def take(self) -> dict[str, Any] | None:
        """Start an epoch, commit it, end the session before; return the stored checkpoint."""
        self._create()
        name = self._table.sql
        rows(self._connection, f"INSERT INTO {name} (task) VALUES (%s) ON CONFLICT DO NOTHING", (self._task,))  # noqa: S608 - quoted
        before = rows(
            self._connection,
            f"SELECT pid, started FROM {name} WHERE task = %s FOR UPDATE",  # noqa: S608 - quoted
            (self._task,),
        )
        ((self._epoch, stored),) = rows(
            self._connection,
            f"UPDATE {name} SET epoch = epoch + 1, pid = pg_backend_pid(), started ="  # noqa: S608 - quoted
            " (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
            " WHERE task = %s RETURNING epoch, checkpoint::text",
            (self._task,),
        )
        self._connection.commit()
        rows(
            self._connection,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = %s AND backend_start = %s AND pid <> pg_backend_pid() AND usename = current_user",
            before[0],
        )
        self._connection.commit()
        return json.loads(stored) if stored else None

    def store(self, checkpoint: Mapping[str, Any] | None) -> None:
        """Write the checkpoint (None: leave it) in the open transaction. ConflictError if a later session took over."""
        name = self._table.sql
        if checkpoint is None:
            found = rows(
                self._connection,
                f"SELECT 1 FROM {name} WHERE task = %s AND epoch = %s FOR UPDATE",  # noqa: S608 - quoted
                (self._task, self._epoch),
            )
        else:
            found = rows(
                self._connection,
                f"UPDATE {name} SET checkpoint = %s::json, stored_at = now()"  # noqa: S608 - quoted
                " WHERE task = %s AND epoch = %s RETURNING 1",
                (json.dumps(checkpoint), self._task, self._epoch),
            )
        if not found:
            raise ConflictError(
                "Another session took over",
                f"a later run of task {self._task!r} writes to this database; this one has stopped without writing",
            )

    def _create(self) -> None:
        if rows(self._connection, "SELECT to_regclass(%s) IS NULL", (self._table.sql,))[0][0]:
            # Two tasks may start at once on a fresh database.
            rows(self._connection, "SELECT pg_advisory_xact_lock(hashtext('dstream_checkpoint'))")
            rows(
                self._connection,
                f"CREATE TABLE IF NOT EXISTS {self._table.sql} (task text PRIMARY KEY, epoch bigint NOT NULL DEFAULT 0,"
                " checkpoint json, pid integer, started timestamptz, stored_at timestamptz)",
            )
            self._connection.commit()
