"""Refusals: the rows rejected as dead letters, and whether later changes of the same rows were applied.

A dead letter that is replayed must not overwrite what is newer. So each rejected row is noted beside the checkpoint, in
the same transaction: its position and its key. A change that comes later and concerns the same key marks the note. A
replay writes only rows whose note has no mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dstream_postgres.names import Table
from dstream_postgres.rows import Operation, Row

Run = Callable[[str, Any], list[tuple[Any, ...]]]
"""Runs one statement with its parameters and returns its rows."""


def table_of(checkpoints: Table) -> Table:
    """The table of the notes, beside the table of checkpoints."""
    return Table(checkpoints.schema, f"{checkpoints.name}_refused")


@dataclass(slots=True)
class _Note:
    stream: str
    position: str
    keys: tuple[str, ...]
    superseded: str | None = None
    changed: bool = False
    """Whether the database does not have it so."""


class Refusals:
    """The notes of one task."""

    def __init__(self, run: Run, checkpoints: Table, task: str) -> None:
        self._run = run
        self._table = table_of(checkpoints)
        self._task = task
        self._there = False
        self._notes: dict[tuple[str, str], _Note] = {}
        self._by_stream: dict[str, list[_Note]] = {}

    def load(self) -> None:
        """Read the notes that are there; what was noted and not committed is forgotten."""
        self._notes.clear()
        self._by_stream.clear()
        self._there = not self._run("SELECT to_regclass(%s) IS NULL", (self._table.sql,))[0][0]
        if self._there:
            name = self._table.sql_format
            for stream, position, keys, superseded in self._run(
                f"SELECT stream, position, keys, superseded FROM {name} WHERE task = %s",  # noqa: S608 - quoted
                (self._task,),
            ):
                self._add(_Note(stream, position, tuple(keys), superseded))

    def applied(self, rows: Iterable[Row], rejected: Iterable[Row]) -> None:
        """Take notice of a batch: mark notes of rows that it changes, and note the rows that were rejected."""
        aside = {id(row) for row in rejected}
        if not aside and not self._by_stream:
            return
        for row in rows:
            if id(row) in aside:
                if row.key and row.position:
                    self._add(_Note(row.table, row.position, _digests(row), changed=True))
                continue
            notes = self._by_stream.get(row.table)
            if notes:
                digests = () if row.operation is Operation.TRUNCATE else _digests(row)
                for note in notes:
                    hit = not digests or not set(digests).isdisjoint(note.keys)
                    if hit and note.superseded is None and row.position != note.position:
                        note.superseded, note.changed = row.position or "later", True

    def store(self) -> None:
        """Write what has changed, in the open transaction."""
        changed = [note for note in self._notes.values() if note.changed]
        if not changed:
            return
        name = self._table.sql_format
        if not self._there:
            self._run(
                f"CREATE TABLE IF NOT EXISTS {name} (task text, stream text, position text, keys text[] NOT NULL,"
                " superseded text, PRIMARY KEY (task, stream, position))",
                (),
            )
            self._there = True
        for note in changed:
            self._run(
                f"INSERT INTO {name} VALUES (%s, %s, %s, %s, %s) ON CONFLICT (task, stream, position)"  # noqa: S608 - quoted
                " DO UPDATE SET superseded = EXCLUDED.superseded",
                (self._task, note.stream, note.position, list(note.keys), note.superseded),
            )
            note.changed = False

    def objection(self, row: Row) -> str:
        """Why a replay must not write a row, or nothing."""
        if not row.key or not row.position:
            return ""  # it overwrites nothing, or has no place in any order
        note = self._notes.get((row.table, row.position))
        if note is None:
            return (
                "skipped: this output did not reject the row itself, so it cannot tell whether a later change of the "
                'same row has been applied. To write it all the same, set replay = "any" in the output and try again'
            )
        if note.superseded is not None:
            return f"skipped: a later change of the same row has been applied (position {note.superseded})"
        return ""

    def forget(self, rows: Iterable[Row]) -> None:
        """Delete the notes of rows that a replay has written, in the open transaction."""
        for row in rows:
            note = self._notes.pop((row.table, row.position), None)
            if note is not None:
                self._by_stream[row.table].remove(note)
                if not self._there:
                    continue
                name = self._table.sql_format
                self._run(
                    f"DELETE FROM {name} WHERE task = %s AND stream = %s AND position = %s",  # noqa: S608 - quoted
                    (self._task, row.table, row.position),
                )

    def _add(self, note: _Note) -> None:
        if (note.stream, note.position) not in self._notes:
            self._notes[note.stream, note.position] = note
            self._by_stream.setdefault(note.stream, []).append(note)


def _digests(row: Row) -> tuple[str, ...]:
    """The keys that a row concerns, each as a digest."""
    return tuple(hashlib.sha256(key).hexdigest() for key in (row.key, row.old_key) if key)
