"""Snapshot: emits the existing rows of a table under checkpoints, so that an interrupted snapshot is detected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk.errors import Stopped
from dstream_sdk.failpoints import armed, fault
from dstream_sdk.input import InputSession


class TableSnapshot:
    """Emits the rows of one table, with a checkpoint after every `chunk_rows` rows.

    `position(n)` returns the checkpoint for an unfinished snapshot of this table with `n` emitted rows. The order of
    calls is `begin`, `emit` for each batch, `end`. Each may raise Stopped, when the session is stopping: the last
    checkpoint records the progress of the snapshot.
    """

    def __init__(self, session: InputSession, chunk_rows: int, position: Callable[[int], Mapping[str, Any]]) -> None:
        """Take the session, the number of rows between two checkpoints, and the function for positions."""
        self._session, self._chunk_rows, self._position = session, chunk_rows, position
        self.rows = 0
        """Rows emitted so far."""
        self._covered = 0

    def begin(self) -> None:
        """Store that this snapshot has started, before its first row.

        If a crash lost that, rows deleted at the source before the next snapshot would stay in the target.
        """
        self._session.store(self._position(0))

    def left(self) -> int:
        """Return the number of rows left in the current chunk: a larger batch delays the checkpoint."""
        return self._chunk_rows - (self.rows - self._covered)

    def emit(self, lines: bytes, count: int) -> None:
        """Emit `count` rows, encoded as complete lines."""
        self._session.emit_bytes(lines, count)
        self.rows += count
        if self.rows - self._covered >= self._chunk_rows or armed("mid_snapshot"):
            self._covered = self.rows
            self._fault()
            self._session.checkpoint(self._position(self.rows))
        if self._session.stopping:
            raise Stopped

    def end(self, position: Mapping[str, Any]) -> None:
        """Write the checkpoint for the finished snapshot of this table."""
        self._fault()
        self._session.checkpoint(position)

    def _fault(self) -> None:
        if armed("mid_snapshot"):
            self._session.flush()
            fault("mid_snapshot")
