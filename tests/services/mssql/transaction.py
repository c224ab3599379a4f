"""Transactions of tests: changes that reach the log together, when their block ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.services.mssql.model import Database, Row, Table


class Transaction:
    """Changes that have not committed yet; it reads what has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.began = database.clock.now()
        self.changes: list[tuple[Table, Row | None, Row | None, bool]] = []
        """Table, old row, new row, and whether it belongs to the log record of the change before."""

    def insert(self, name: str, **values: Any) -> None:
        """INSERT of one row; columns that are not named are NULL."""
        table = self._database.table(name)
        unknown = {table.at(column) for column in values}
        assert len(unknown) == len(values)
        given = {column.lower(): value for column, value in values.items()}
        row = tuple(given.get(column.name.lower()) for column in table.columns)
        self.changes.append((table, None, row, False))

    def insert_rows(self, name: str, rows: Iterable[Row]) -> None:
        """INSERT of rows with a value for each column."""
        table = self._database.table(name)
        self.changes += ((table, None, tuple(row), False) for row in rows)

    def update(self, name: str, where: Mapping[str, Any], **values: Any) -> int:
        """UPDATE of the rows with the values `where`; returns how many."""
        table = self._database.table(name)
        found = self._matching(table, where)
        for number, old in enumerate(found):
            new = list(old)
            for column, value in values.items():
                new[table.at(column)] = value
            # One statement that moves several keys logs its rows under one number.
            moves = table.identity(old) != table.identity(tuple(new))
            self.changes.append((table, old, tuple(new), moves and number > 0))
        return len(found)

    def move(self, name: str, column: str, pairs: Mapping[Any, Any]) -> None:
        """One UPDATE that gives several rows another value of a key column at once: {old: new}."""
        table = self._database.table(name)
        at = table.at(column)
        first = True
        for row in self._current(table):
            if row[at] in pairs:
                new = (*row[:at], pairs[row[at]], *row[at + 1 :])
                self.changes.append((table, row, new, not first))
                first = False

    def delete(self, name: str, **where: Any) -> int:
        """DELETE of the rows with these values; returns how many."""
        table = self._database.table(name)
        found = self._matching(table, where)
        self.changes += ((table, old, None, False) for old in found)
        return len(found)

    def _current(self, table: Table) -> list[Row]:
        """The table's rows as this transaction sees them."""
        with self._database.lock:
            rows = list(table.rows.values())
        for other, old, new, _ in self.changes:
            if other is table:
                if old is not None:
                    rows.remove(old)
                if new is not None:
                    rows.append(new)
        return rows

    def _matching(self, table: Table, where: Mapping[str, Any]) -> list[Row]:
        wanted = [(table.at(column), value) for column, value in where.items()]
        return [row for row in self._current(table) if all(row[at] == value for at, value in wanted)]
