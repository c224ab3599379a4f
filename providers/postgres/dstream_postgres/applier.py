"""Applier: collects rows and applies them in few statements, in an order that ends in the same state.

Within a batch the last upsert of a key wins, and deletes come before upserts. What cannot be merged that way (a
truncate, a partial update of a row that waits, another set of columns) makes the table's batch be applied first. A
batch that the server refuses because of its data is tried again row by row; rows that are refused then are
rejected, and the others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.names import quote
from dstream_postgres.rows import Operation, Row
from dstream_postgres.target import Target, TargetTable
from dstream_sdk import InvalidError

ROWS, BYTES = 10_000, 4 * 1024 * 1024
"""A batch is applied when it holds this much."""

_FOREIGN_KEY = "23503"


@dataclass(slots=True)
class _Batch:
    """What waits for one table. `upserts` holds the last row by key; rows without a key are in `appends`."""

    target: TargetTable
    key_columns: tuple[str, ...]
    columns: frozenset[str]
    columns_as_sent: tuple[str, ...] = ()
    """The columns in the order of the last row: comparing these is quicker than comparing sets."""
    upserts: dict[bytes, Row] = field(default_factory=dict)
    deletes: dict[bytes, Row] = field(default_factory=dict)
    appends: list[Row] = field(default_factory=list)
    updates: dict[bytes, Row] = field(default_factory=dict)


class Applier:
    """Applies rows over one connection, inside the transaction that is open there."""

    def __init__(
        self, connection: Any, target: Target, reject: Callable[[bytes, str], None], *, deletes: bool = True
    ) -> None:
        self._connection = connection
        self._target = target
        self._reject = reject
        self._deletes = deletes
        self._batches: dict[str, _Batch] = {}
        self._rows = 0
        self._bytes = 0

    def discard(self) -> None:
        """Forget what waits."""
        self._batches.clear()
        self._rows = self._bytes = 0

    def add(self, row: Row) -> None:
        """Take a row; applies what waits when it has become much. Raises psycopg2.Error, ProviderError."""
        operation = row.operation
        if operation in (Operation.DELETE, Operation.TRUNCATE) and not self._deletes:
            return
        batch = self._batch_for(row)
        if operation is Operation.UPSERT:
            if not row.key_columns:
                batch.appends.append(row)
            else:
                if row.old_key is not None:
                    batch.upserts.pop(row.old_key, None)
                    batch.deletes[row.old_key] = row
                batch.upserts[row.key] = row
        elif operation is Operation.DELETE:
            if not row.key_columns:
                self._reject(row.line, "a delete without Key names no row")
                return
            batch.upserts.pop(row.key, None)
            batch.deletes[row.key] = row
        elif operation is Operation.UPDATE:
            if not row.key_columns:
                self._reject(row.line, "an update with Unchanged columns and without Key names no row")
                return
            batch.updates[row.key] = row
            if row.old_key is not None:
                self._apply(self._batches.pop(row.table))
        else:
            self._apply(self._batches.pop(row.table))
            self._truncate(batch.target)
        self._rows += 1
        self._bytes += len(row.line)
        if self._rows >= ROWS or self._bytes >= BYTES:
            self.apply()

    def apply(self) -> None:
        """Apply what waits."""
        batches = list(self._batches.values())
        self.discard()
        for batch in batches:
            self._apply(batch)

    def _batch_for(self, row: Row) -> _Batch:
        """The batch of the row's table, into which it can be merged; others are applied first."""
        batch = self._batches.get(row.table)
        if (
            batch is not None
            and row.operation is Operation.UPSERT
            and row.columns == batch.columns_as_sent
            and row.key_columns == batch.key_columns
            and not batch.updates
        ):
            return batch
        # The columns of a delete do not matter, only its key does.
        columns = frozenset(row.columns) if row.operation in (Operation.UPSERT, Operation.UPDATE) else None
        if batch is not None:
            fits = row.key_columns in ((), batch.key_columns) or not batch.key_columns
            if columns is not None and batch.columns and columns != batch.columns:
                fits = False
            if row.operation is Operation.UPDATE:
                # Only partial updates of rows that do not wait otherwise are merged, one for each key.
                fits = fits and not (row.key in batch.updates or row.key in batch.upserts or row.key in batch.deletes)
                fits = fits and row.old_key is None
            elif batch.updates:
                fits = False
            if fits:
                batch.key_columns = batch.key_columns or row.key_columns
                batch.columns = batch.columns or columns or frozenset()
                if columns is not None:
                    batch.columns_as_sent = row.columns
                return batch
            self._apply(self._batches.pop(row.table))
        found = self._target.table_for(row if columns is not None else _only_key(row))
        batch = _Batch(found, row.key_columns, columns or frozenset(), row.columns if columns is not None else ())
        self._batches[row.table] = batch
        return batch

    def _apply(self, batch: _Batch) -> None:
        import psycopg2

        rows(self._connection, "SAVEPOINT batch")
        try:
            self._statements(batch)
        except (psycopg2.DataError, psycopg2.IntegrityError) as problem:
            _raise_if_foreign_key(problem, batch)
            rows(self._connection, "ROLLBACK TO SAVEPOINT batch")
            self._one_by_one(batch)
        rows(self._connection, "RELEASE SAVEPOINT batch")

    def _truncate(self, target: TargetTable) -> None:
        import psycopg2.errors

        rows(self._connection, "SAVEPOINT empty")
        try:
            rows(self._connection, f"TRUNCATE {target.table.sql}")
        except psycopg2.errors.FeatureNotSupported:  # a foreign key refers to it, or it is a view
            rows(self._connection, "ROLLBACK TO SAVEPOINT empty")
            rows(self._connection, f"DELETE FROM {target.table.sql}")  # noqa: S608 - quoted
        rows(self._connection, "RELEASE SAVEPOINT empty")

    def _one_by_one(self, batch: _Batch) -> None:
        import psycopg2

        for single in _singles(batch):
            rows(self._connection, "SAVEPOINT one")
            try:
                self._statements(single)
            except (psycopg2.DataError, psycopg2.IntegrityError) as problem:
                _raise_if_foreign_key(problem, batch)
                rows(self._connection, "ROLLBACK TO SAVEPOINT one")
                for row in (*single.upserts.values(), *single.appends, *single.updates.values()):
                    self._reject(row.line, " ".join(str(problem).split()))
            rows(self._connection, "RELEASE SAVEPOINT one")

    def _statements(self, batch: _Batch) -> None:
        name = batch.target.table.sql
        if batch.deletes:
            self._delete(batch, batch.deletes)
        if batch.upserts:
            self._upsert(batch)
        if batch.appends:
            self._insert(batch, batch.appends, "")
        if batch.updates:
            moved = [row for row in batch.updates.values() if row.old_key is not None]
            for row in moved:
                self._move(name, row)
            self._update(batch)

    def _delete(self, batch: _Batch, keys: Collection[bytes]) -> None:
        name = batch.target.table.sql
        rows(
            self._connection,
            f"DELETE FROM {name} AS t USING json_populate_recordset(NULL::{name}, %s::json) AS k"  # noqa: S608 - quoted
            f" WHERE {_same('t', 'k', batch.key_columns, keys)}",
            (_array(keys),),
        )

    def _upsert(self, batch: _Batch) -> None:
        key = frozenset(batch.key_columns)
        if key in batch.target.unique:
            others = sorted(batch.columns - key)
            listed = ", ".join(quote(column) for column in batch.key_columns)
            change = ", ".join(f"{quote(column)} = EXCLUDED.{quote(column)}" for column in others)
            action = f"DO UPDATE SET {change}" if others else "DO NOTHING"
            self._insert(batch, batch.upserts.values(), f" ON CONFLICT ({listed}) {action}")
        else:
            # Nothing in the target makes the key unique: make room, then insert.
            self._delete(batch, batch.upserts)
            self._insert(batch, batch.upserts.values(), "")

    def _insert(self, batch: _Batch, what: Iterable[Row], conflict: str) -> None:
        name = batch.target.table.sql
        columns = ", ".join(quote(column) for column in sorted(batch.columns))
        rows(
            self._connection,
            f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns}"  # noqa: S608 - quoted
            f" FROM json_populate_recordset(NULL::{name}, %s::json){conflict}",
            (_array(row.data for row in what),),
        )

    def _update(self, batch: _Batch) -> None:
        """Partial updates. A row that is not there is not made: the columns that were not sent would be wrong."""
        name = batch.target.table.sql
        others = sorted(batch.columns - frozenset(batch.key_columns))
        if not others:
            return
        change = ", ".join(f"{quote(column)} = d.{quote(column)}" for column in others)
        same = _same("t", "d", batch.key_columns, batch.updates)
        rows(
            self._connection,
            f"UPDATE {name} AS t SET {change}"  # noqa: S608 - quoted
            f" FROM json_populate_recordset(NULL::{name}, %s::json) AS d WHERE {same}",
            (_array(row.data for row in batch.updates.values()),),
        )

    def _move(self, name: str, row: Row) -> None:
        """Give a row another key. Without the old row, nothing; a row at the new key is an older try of the same."""
        assert row.old_key is not None  # noqa: S101 - the caller's choice of rows
        same_old = " AND ".join(f"t.{quote(column)} = o.{quote(column)}" for column in row.key_columns)
        same_new = " AND ".join(f"t.{quote(column)} = n.{quote(column)}" for column in row.key_columns)
        change = ", ".join(f"{quote(column)} = n.{quote(column)}" for column in row.key_columns)
        old, new = row.old_key.decode(), row.key.decode()
        record = f"json_populate_record(NULL::{name}, %s::json)"
        rows(
            self._connection,
            f"DELETE FROM {name} AS t USING {record} AS n WHERE {same_new} AND EXISTS"  # noqa: S608 - quoted
            f" (SELECT FROM {name} AS t, {record} AS o WHERE {same_old})",
            (new, old),
        )
        rows(
            self._connection,
            f"UPDATE {name} AS t SET {change} FROM {record} AS n, {record} AS o WHERE {same_old}",  # noqa: S608 - quoted
            (new, old),
        )


def _only_key(row: Row) -> Row:
    return Row(
        row.table, row.operation, row.key_columns, row.key, row.key_columns, row.key, row.old_key, row.line, row.values
    )


def _same(left: str, right: str, columns: Sequence[str], keys: Iterable[bytes]) -> str:
    """Equality of keys. Null equals null only where one of the keys has one: that comparison cannot use an index."""
    equal = "IS NOT DISTINCT FROM" if any(b":null" in key for key in keys) else "="
    return " AND ".join(f"{left}.{quote(column)} {equal} {right}.{quote(column)}" for column in columns)


def _array(texts: Iterable[bytes]) -> str:
    return (b"[" + b",".join(texts) + b"]").decode()


def _singles(batch: _Batch) -> Sequence[_Batch]:
    """Batches of one row each, deletes first."""
    out = [_Batch(batch.target, batch.key_columns, batch.columns, deletes=batch.deletes)] if batch.deletes else []
    for key, row in batch.upserts.items():
        out.append(_Batch(batch.target, batch.key_columns, batch.columns, upserts={key: row}))
    out.extend(_Batch(batch.target, batch.key_columns, batch.columns, appends=[row]) for row in batch.appends)
    for key, row in batch.updates.items():
        out.append(_Batch(batch.target, batch.key_columns, batch.columns, updates={key: row}))
    return out


def _raise_if_foreign_key(problem: Any, batch: _Batch) -> None:
    if getattr(problem, "pgcode", None) == _FOREIGN_KEY:
        raise InvalidError(
            "Foreign key in the target",
            f"{' '.join(str(problem).split())} Rows of several tables are written together, not in the source's order: "
            f"make foreign keys to and from {batch.target.table} DEFERRABLE, or drop them in the target.",
        ) from None
