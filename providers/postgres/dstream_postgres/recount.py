"""Recount: how often a table without a key has to hold each row at the end of a transaction.

The target may change rows before their own changes come: a foreign key with ON UPDATE CASCADE or ON DELETE SET NULL
does, and so may a trigger. Where rows have a key, their own changes then write what is there already. Among rows
without one, such a change finds no row that equals the old one, or another that has come to equal it in the meantime.

So when a change finds no row, the transaction is rolled back and applied again between two counts: how often each row
that its changes name is there before, and afterwards. What the source did to the first count is what the second one has
to be; the difference is written. Only a change whose old row is not among those that were there, or were written before
it in the same transaction, is still rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import psycopg2
from msgspec.structs import replace

from dstream_postgres import equal_rows, statements
from dstream_postgres.applier import NO_ROW, Rejected
from dstream_postgres.database import rows
from dstream_postgres.rows import Operation, Row, Values
from dstream_postgres.target import TargetTable
from dstream_postgres.values import Unfit

_AT_A_TIME = 500
"""The number of rows that are counted by one statement, which reads the table once."""
_MOST_UNCLEAR = 3
"""The maximum number of nulls in a row that may be either SQL's or JSON's."""

_Named = tuple[bytes, tuple[str, ...]]
"""A row as the stream names it: its values, and the columns whose null is JSON's."""


class Recount:
    """The rows of one table that the changes of a transaction name, and how often each is there."""

    def __init__(self, connection: Any, table: TargetTable, changes: Sequence[Row]) -> None:
        self._connection = connection
        self._table = table
        self._changes = changes
        self._columns: tuple[str, ...] = ()
        self._named: dict[_Named, Row] = {}
        self._digests: dict[_Named, str] = {}
        self._before: dict[str, int] | None = None
        self._others = 0
        """How many rows are there that no change names."""

    def before(self) -> None:
        """Count, before the transaction changes anything."""
        complete = [row for row in self._changes if row.operation is not Operation.TRUNCATE]
        columns = {frozenset(values) for row in complete for values in (row.key_data, row.old_key_data or row.key_data)}
        if len(columns) != 1 or not all(row.keyless and not row.unchanged for row in complete):
            return  # they do not all name whole rows
        self._columns = complete[0].key_columns
        for row in complete:
            for each in (*self._old(row), self._new(row)):
                self._named.setdefault(_name(each), each)
        self._before = self._count()
        self._others = self._total() - sum(self._before.values()) if self._before is not None else 0

    def after(self, rejected: Sequence[Rejected]) -> list[Rejected]:
        """Give the table the rows that it has to have, after the changes; return what of the rejected stays so."""
        if self._before is None:
            return list(rejected)
        other = {id(each.row) for each in rejected if not each.missing}
        expected, missing = self._applied(self._before, other)
        now = self._count()
        if now is None or not self._write(expected, now):
            return list(rejected)
        own = {id(row) for row in self._changes}
        left = [each for each in rejected if not each.missing or id(each.row) not in own]
        return left + [Rejected(row, NO_ROW, missing=True) for row in missing]

    def _applied(self, before: dict[str, int], left_out: set[int]) -> tuple[dict[str, int], list[Row]]:
        """What the source's changes make of a count, and those among them whose old row is not there."""
        counts, missing = dict(before), []
        for row in self._changes:
            if id(row) in left_out:
                continue
            if row.operation is Operation.TRUNCATE:
                counts = dict.fromkeys(counts, 0)
                continue
            if row.operation is not Operation.INSERT:
                old = next((digest for each in self._old(row) if counts[digest := self._digests[_name(each)]]), None)
                if old is None:
                    if row.operation is Operation.UPDATE:
                        missing.append(row)
                    continue
                counts[old] -= 1
            if row.operation is not Operation.DELETE:
                counts[self._digests[_name(self._new(row))]] += 1
        return counts, missing

    def _write(self, expected: dict[str, int], now: dict[str, int]) -> bool:
        """Delete what is there too often, insert what is missing; return whether the target takes it.

        A row that no change names may be there in place of one that is missing: where the target has changed it as
        the source did not. It is deleted where it is clear which rows those are.
        """
        by_digest = {self._digests[name]: row for name, row in self._named.items()}
        less = {digest: now[digest] - count for digest, count in expected.items() if now[digest] > count}
        more = {digest: count - now[digest] for digest, count in expected.items() if now[digest] < count}
        surplus_others = max(0, self._total() - sum(now.values()) - self._others)
        with self._connection.cursor() as cursor:
            cursor.execute("SAVEPOINT recount")
            try:
                if surplus_others:
                    cursor.execute(equal_rows.written_now(self._table, next(iter(self._named.values()))))
                    places = [place for place, digest in cursor.fetchall() if digest not in now]
                    if len(places) != surplus_others:
                        return False
                    cursor.execute(equal_rows.delete_places(self._table, places))
                for digest, surplus in less.items():
                    for _ in range(surplus):
                        cursor.execute(statements.delete_equal(self._table, by_digest[digest]))
                for digest, lacking in more.items():
                    cursor.execute(statements.insert(self._table, [by_digest[digest]] * lacking))
            except psycopg2.IntegrityError:
                cursor.execute("ROLLBACK TO SAVEPOINT recount; RELEASE SAVEPOINT recount")
                return False
            cursor.execute("RELEASE SAVEPOINT recount")
        return True

    def _count(self) -> dict[str, int] | None:
        """How often each row is there, by its digest; None where the server cannot read a value."""
        counts: dict[str, int] = {}
        named = list(self._named.items())
        with self._connection.cursor() as cursor:
            cursor.execute("SAVEPOINT count")
            try:
                for start in range(0, len(named), _AT_A_TIME):
                    part = named[start : start + _AT_A_TIME]
                    cursor.execute(equal_rows.count_equal(self._table, [row for _, row in part]))
                    for place, digest, count in cursor.fetchall():
                        self._digests[part[place][0]] = digest
                        counts[digest] = count
            except (psycopg2.DataError, Unfit):
                cursor.execute("ROLLBACK TO SAVEPOINT count; RELEASE SAVEPOINT count")
                return None
            cursor.execute("RELEASE SAVEPOINT count")
        return counts

    def _total(self) -> int:
        return int(rows(self._connection, f"SELECT count(*) FROM {self._table.only}")[0][0])  # noqa: S608 - quoted

    def _new(self, row: Row) -> Row:
        """The row as it is after a change, or was before a delete."""
        return self._complete(row, row.key_data, row.json_nulls)

    def _old(self, row: Row) -> list[Row]:
        """The rows that a change may have found: several where a null may be SQL's or JSON's."""
        if row.old_key_data is None:
            return [self._new(row)]
        unclear = statements.unclear_nulls(self._table, row.old_key_data)
        sizes = range(len(unclear) + 1) if len(unclear) <= _MOST_UNCLEAR else ()
        return [self._complete(row, row.old_key_data, nulls) for size in sizes for nulls in combinations(unclear, size)]

    def _complete(self, row: Row, values: Values, json_nulls: Iterable[str]) -> Row:
        values = {name: values[name] for name in self._columns}
        return replace(
            row,
            operation=Operation.INSERT,
            data=values,
            columns=self._columns,
            key_data=values,
            key_columns=self._columns,
            key=b"\t".join(values.values()),
            old_key=None,
            old_key_data=None,
            json_nulls=tuple(sorted(json_nulls)),
        )


def _name(row: Row) -> _Named:
    return row.key, row.json_nulls
