"""The rows that a table already has, emitted under checkpoints, so that an interrupted snapshot is known as such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk.errors import Stopped
from dstream_sdk.failpoints import armed, fault
from dstream_sdk.input import InputSession


class TableSnapshot:
    """Emits the rows of one table, with a checkpoint after every `chunk_rows` rows.

    `position(n)` returns the checkpoint that says: the snapshot of this table is being read, `n` rows were emitted.
    The order of calls is `begin`, `emit` for each batch, `end`. Each may raise Stopped, when the session is stopping:
    the last checkpoint says how far the snapshot came.
    """

    def __init__(self, session: InputSession, chunk_rows: int, position: Callable[[int], Mapping[str, Any]]) -> None:
        """Take the session, the rows between two checkpoints, and what makes the position."""
        self._session, self._chunk_rows, self._position = session, chunk_rows, position
        self.rows = 0
        """Rows emitted so far."""
        self._covered = 0

    def begin(self) -> None:
        """Store that this snapshot is being read, before its first row.

        Rows whose snapshot is forgotten in a crash might be deleted at the source before the next one, and stay in
        the target.
        """
        self._session.store(self._position(0))

    def left(self) -> int:
        """Return how many rows the current chunk still takes: a batch of at most this many ends at a checkpoint."""
        return self._chunk_rows - (self.rows - self._covered)

    def emit(self, lines: bytes, count: int) -> None:
        """Emit `count` rows that are encoded as whole lines."""
        self._session.emit_bytes(lines, count)
        self.rows += count
        if self.rows - self._covered >= self._chunk_rows or armed("mid_snapshot"):
            self._covered = self.rows
            self._fault()
            self._session.checkpoint(self._position(self.rows))
        if self._session.stopping:
            raise Stopped

    def end(self, position: Mapping[str, Any]) -> None:
        """Write the checkpoint that says: this table is read."""
        self._fault()
        self._session.checkpoint(position)

    def _fault(self) -> None:
        if armed("mid_snapshot"):
            self._session.flush()
            fault("mid_snapshot")
