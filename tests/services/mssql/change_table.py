"""Change tables: capture instances, and the rows that a change in the log becomes.

Deletes and inserts carry all columns; updates two rows of one __$seqval. An update of the primary key is a delete and
an insert. Values of large types are NULL in the row before an update that did not touch them; computed ones always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from tests.services.mssql.model import Change, Column, Row, Table

if TYPE_CHECKING:
    from tests.services.mssql.model import Login

DELETE, INSERT, BEFORE, AFTER = 1, 2, 3, 4
_OLD_LOBS = ("text", "ntext", "image")


@dataclass(slots=True)
class Captured:
    """A row of a change table."""

    start_lsn: int
    seqval: int
    operation: int
    update_mask: bytes
    values: Row
    command_id: int = 0
    """The place of the operation within its transaction, counted for this change table alone."""


@dataclass(slots=True)
class Instance:
    """A capture instance."""

    name: str
    table: Table
    object_id: int
    start_lsn: int | None
    columns: list[Column]
    created: datetime
    role: str | None
    supports_net_changes: bool
    index_columns: tuple[str, ...]
    rows: list[Captured] = field(default_factory=list)
    enabled_at: int = 0
    broken: bool = False
    """Whether reading it fails, as a damaged page would make it."""

    def visible_to(self, login: Login) -> bool:
        """Whether a login passes the gating role and may select from the source."""
        if login.owner:
            return True
        if self.role is not None and self.role not in login.roles:
            return False
        table = f"select {self.table.schema}.{self.table.name}".lower()
        return bool({table, "select *"} & {one.lower() for one in login.grants})


def rows_of(instance: Instance, lsn: int, change: Change) -> list[Captured]:
    """What a change in the log adds to a change table."""
    table = instance.table
    every = _mask(range(len(instance.columns)), len(instance.columns))
    old = None if change.old is None else _pick(instance, change.old, change.ids)
    new = None if change.new is None else _pick(instance, change.new, change.ids)
    if change.old is not None and change.new is not None and old is not None and new is not None:
        if table.identity(change.old) == table.identity(change.new):
            changed = [at for at in range(len(old)) if old[at] != new[at]]
            if not changed:
                return []
            mask = _mask(changed, len(old))
            before = tuple(
                None if _large(instance.columns[at]) and at not in changed else value for at, value in enumerate(old)
            )
            return [
                Captured(lsn, change.seqval, BEFORE, mask, _without_old_lobs(instance, before)),
                Captured(lsn, change.seqval, AFTER, mask, new),
            ]
        return [
            Captured(lsn, change.seqval, DELETE, every, _without_old_lobs(instance, old)),
            Captured(lsn, change.seqval, INSERT, every, new),
        ]
    if old is not None:
        return [Captured(lsn, change.seqval, DELETE, every, _without_old_lobs(instance, old))]
    assert new is not None
    return [Captured(lsn, change.seqval, INSERT, every, new)]


def number(rows: Iterable[Captured], after: int) -> int:
    """Number the rows that one log record became: deletes before inserts, an update's two rows alike; the last one."""
    for row in sorted(rows, key=lambda one: one.operation):
        after += row.operation != AFTER
        row.command_id = after
    return after


def _pick(instance: Instance, row: Row, ids: tuple[int, ...]) -> Row:
    """The captured columns of a row, those that the table had when it was written."""
    values = dict(zip(ids, row, strict=True))
    return tuple(None if column.computed else values.get(column.id) for column in instance.columns)


def _large(column: Column) -> bool:
    return column.type.length < 0 or column.type.name == "xml"


def _without_old_lobs(instance: Instance, row: Row) -> Row:
    return tuple(
        None if column.type.name in _OLD_LOBS else value for column, value in zip(instance.columns, row, strict=True)
    )


def _mask(places: Iterable[int], count: int) -> bytes:
    bits = 0
    for at in places:
        bits |= 1 << at
    return bits.to_bytes((count + 7) // 8, "big")
