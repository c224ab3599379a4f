"""Runs: the changes of a batch as few statements, in the source's order or where that gives the same, merged.

A run holds changes of one kind to different rows of one table, which came one behind the other: one statement does
them. Merging goes further: of all changes to a row only the last counts, whatever came between. It is allowed where
nothing but the key ties rows together (`TargetTable.commutes`): no other unique index or exclusion, no foreign key, no
trigger. Then no order of changes to different rows can be told from another by what the table holds at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from msgspec.structs import replace

from dstream_postgres.rows import Operation, Row
from dstream_postgres.target import TargetTable

Placed = tuple[Row, TargetTable]
"""A row and the table that it goes to."""


class Kind(Enum):
    """What a run does."""

    INSERT = "insert"
    UPDATE = "update"
    """Whole rows by their keys, inserted where they are missing."""
    PATCH = "patch"
    """Rows with columns that were not sent: they have to be there."""
    MOVE = "move"
    """Rows whose key changes."""
    DELETE = "delete"
    TRUNCATE = "truncate"
    SINGLE = "single"
    """One row that goes alone."""


@dataclass(slots=True)
class Run:
    """Changes that one statement does. Where tables are emptied, `tables` are those of the rows; else it is one."""

    kind: Kind
    table: TargetTable
    rows: list[Row]
    tables: list[TargetTable] = field(default_factory=list)
    keys: set[bytes] = field(default_factory=set)


def kind_of(row: Row, table: TargetTable) -> Kind:
    """The kind of run that a row belongs to."""
    if row.operation is Operation.TRUNCATE:
        return Kind.TRUNCATE
    if table.triggers:
        return Kind.SINGLE
    if row.operation is Operation.INSERT or not row.key_columns:
        return Kind.INSERT
    if row.keyless:
        return Kind.SINGLE
    if row.operation is Operation.DELETE:
        return Kind.DELETE
    if row.old_key is not None:
        return Kind.MOVE
    return Kind.PATCH if row.unchanged else Kind.UPDATE


def ordered(placed: Iterable[Placed]) -> list[Run]:
    """Runs in the source's order."""
    out: list[Run] = []
    last: Run | None = None
    for row, table in placed:
        kind = kind_of(row, table)
        if last is not None and kind is last.kind and kind is not Kind.SINGLE:
            if kind is Kind.TRUNCATE:
                last.rows.append(row)
                last.tables.append(table)
                continue
            first = last.rows[0]
            keys = _keys(row)
            if (
                table is last.table
                and row.columns == first.columns
                and row.key_columns == first.key_columns
                and row.keyless == first.keyless
                and (row.keyless or not keys & last.keys)
            ):
                last.rows.append(row)
                last.keys |= keys
                continue
        last = Run(kind, table, [row], [table], _keys(row))
        out.append(last)
    return out


def _keys(row: Row) -> set[bytes]:
    """What two rows of a run must not have in common: rows may take over each other's old keys."""
    return {row.key} if row.old_key is None else {b"from " + row.old_key, b"to " + row.key}


def planned(placed: list[Placed]) -> list[Run]:
    """Runs that give what the source has: merged by table where that is the same, in order where it is not."""
    if (run := _uniform(placed)) is not None:
        return [run]
    unmerged: set[str] = set()
    shapes: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[int, tuple[str, ...]]] = set()
    for row, table in placed:
        shape = (id(table), row.key_columns)
        if shape not in seen:
            seen.add(shape)
            if table.triggers:
                return ordered(placed)  # a trigger may look at any table
            truncate = row.operation is Operation.TRUNCATE
            if table.references or not (truncate or table.commutes(row.key_columns)):
                unmerged.add(row.table)
            if not truncate and shapes.setdefault(row.table, row.key_columns) != row.key_columns:
                unmerged.add(row.table)
        if row.keyless or (row.old_key is not None and (row.unchanged or table.fixed)):
            unmerged.add(row.table)
    merged: dict[str, _Merged] = {}
    kept: list[Placed] = []
    for row, table in placed:
        if row.table in unmerged:
            kept.append((row, table))
            continue
        state = merged.get(row.table)
        if state is None:
            state = merged[row.table] = _Merged()
        state.add(row, table)
    out = ordered(kept)
    for state in merged.values():
        out += state.runs()
    return out


def _uniform(placed: list[Placed]) -> Run | None:
    """The one run of whole rows with different keys, all inserted or all updated, of one table; None for other batches.

    It is what merging such rows gives.
    """
    first, table = placed[0]
    kind = kind_of(first, table)
    if kind not in (Kind.INSERT, Kind.UPDATE) or table.references or not table.commutes(first.key_columns):
        return None
    operation, columns, key_columns = first.operation, first.columns, first.key_columns
    for row, other in placed:
        if (
            row.operation is not operation
            or other is not table
            or row.columns != columns
            or row.key_columns != key_columns
            or row.old_key is not None
            or row.unchanged
            or row.keyless
        ):
            return None
    rows = [row for row, _ in placed]
    return Run(kind, table, rows) if len({row.key for row in rows}) == len(rows) else None


class _Merged:
    """The last change of each row of a table, and whether the row was there before the batch."""

    def __init__(self) -> None:
        self._truncated: Placed | None = None
        self._deletes: dict[bytes, Placed] = {}
        self._inserts: dict[bytes, Placed] = {}
        self._updates: dict[bytes, Placed] = {}
        self._patches: dict[bytes, list[Placed]] = {}

    def add(self, row: Row, table: TargetTable) -> None:
        key, placed = row.key, (row, table)
        if row.operation is Operation.TRUNCATE:
            self.__init__()  # type: ignore[misc]  # nothing before it counts
            self._truncated = placed
            return
        if row.operation is Operation.DELETE:
            self._gone(key, placed)
            return
        if row.old_key is not None:
            self._gone(row.old_key, placed)
        if row.unchanged:
            self._patch(key, row, table)
            return
        self._patches.pop(key, None)
        new = row.operation is Operation.INSERT or row.old_key is not None
        if key in self._inserts or (new and key not in self._updates):
            self._inserts[key] = placed
        else:
            self._updates[key] = placed

    def runs(self) -> list[Run]:
        out = []
        if self._truncated is not None:
            row, table = self._truncated
            out.append(Run(Kind.TRUNCATE, table, [row], [table]))
        out += _by_shape(Kind.DELETE, [(_only_key(row, key), table) for key, (row, table) in self._deletes.items()])
        out += _by_shape(Kind.PATCH, [placed for patches in self._patches.values() for placed in patches])
        out += _by_shape(Kind.UPDATE, self._updates.values())
        out += _by_shape(Kind.INSERT, self._inserts.values())
        return out

    def _gone(self, key: bytes, placed: Placed) -> None:
        self._inserts.pop(key, None)
        self._updates.pop(key, None)
        self._patches.pop(key, None)
        self._deletes[key] = placed

    def _patch(self, key: bytes, row: Row, table: TargetTable) -> None:
        """Columns of a row that was not sent whole: onto the row that waits, else onto the row in the table."""
        for waiting in (self._inserts, self._updates):
            if key in waiting:
                waiting[key] = (_onto(waiting[key][0], row), table)
                return
        if key in self._patches:
            before, _ = self._patches[key][-1]
            self._patches[key] = [(_onto(before, row), table)]
        else:
            self._patches[key] = [(row, table)]


def _onto(before: Row, row: Row) -> Row:
    """The row before with the columns that were sent now."""
    data = {**before.data, **row.data}
    nulls = tuple({*before.json_nulls} - {*row.columns} | {*row.json_nulls})
    return replace(before, data=data, columns=tuple(data), json_nulls=nulls, line=row.line, position=row.position)


def _only_key(row: Row, key: bytes) -> Row:
    if row.old_key is not None and row.old_key == key:
        return replace(row, operation=Operation.DELETE, key=key, key_data=row.old_key_data or {}, old_key=None)
    return row


def _by_shape(kind: Kind, placed: Iterable[Placed]) -> list[Run]:
    found: dict[tuple[object, ...], Run] = {}
    for row, table in placed:
        shape = (row.key_columns, row.columns if kind is not Kind.DELETE else (), id(table))
        run = found.get(shape)
        if run is None:
            found[shape] = Run(kind, table, [row], [table])
        else:
            run.rows.append(row)
    return list(found.values())
