"""A database of the stand-in: tables, the log of their changes, and who may see what. Times are UTC.

Tests change rows by `with database.transaction() as t: t.insert("Orders", Id=1)`; a transaction is in the log when
its block ends, and in the change tables when the capture agent (cdc.py) has read it.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.services.mssql.types import SqlType, parse_type

if TYPE_CHECKING:
    from tests.services.mssql.transaction import Transaction

Row = tuple[Any, ...]
_SLOT, _BLOCK = 1, 1 << 16


class SqlError(Exception):
    """An error as the server sends it."""

    def __init__(self, number: int, message: str, severity: int = 16, state: int = 1) -> None:
        super().__init__(message)
        self.number, self.message, self.severity, self.state = number, message, severity, state


def lsn_bytes(lsn: int) -> bytes:
    """A log sequence number as binary(10)."""
    return lsn.to_bytes(10, "big")


@dataclass(slots=True)
class Column:
    name: str
    type: SqlType
    nullable: bool = True
    computed: bool = False
    id: int = 0
    """Its number in the table, which no other column gets again."""
    column_set: bool = False
    """Whether it is the XML of all sparse columns, which change data capture does not capture."""


@dataclass(slots=True)
class Table:
    schema: str
    name: str
    object_id: int
    columns: list[Column]
    key: tuple[str, ...]
    created: datetime
    rows: dict[Any, Row] = field(default_factory=dict)
    tracked: bool = False
    next_row: int = 0
    last_column: int = 0
    holders: dict[int, int] = field(default_factory=dict)
    """Sessions that hold a shared lock on the whole table."""

    def at(self, name: str) -> int:
        """The place of a column. SqlError 207."""
        for index, column in enumerate(self.columns):
            if column.name.lower() == name.lower():
                return index
        raise SqlError(207, f"Invalid column name '{name}'.")

    def identity(self, row: Row) -> Any:
        """What tells a row from others: its key, None without one."""
        return tuple(row[self.at(name)] for name in self.key) if self.key else None


@dataclass(frozen=True, slots=True)
class Change:
    """One change in the log: `old` is None for an insert, `new` for a delete."""

    seqval: int
    table: Table
    old: Row | None
    new: Row | None
    ids: tuple[int, ...]
    """The columns of the table at that time, by their numbers."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction in the log."""

    begin_lsn: int
    commit_lsn: int
    began: datetime
    ended: datetime
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Altered:
    """ALTER TABLE of a table with change data capture, in the log; `column` has another type afterwards, if any."""

    commit_lsn: int
    at: datetime
    table: Table
    command: str
    column: int = 0
    type: SqlType | None = None


@dataclass(slots=True)
class Login:
    """Who connects. `roles` are the database's roles that the user is in; `grants` what it was given beyond."""

    name: str
    password: str = ""
    sysadmin: bool = False
    db_owner: bool = False
    roles: set[str] = field(default_factory=set)
    grants: set[str] = field(default_factory=set)
    """`view database state`, `select cdc`, `select SCHEMA.TABLE`, `select *`, `msdb`."""

    @property
    def owner(self) -> bool:
        return self.sysadmin or self.db_owner


class Clock:
    """The server's clock, which tests can put forward, and its time zone."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.zone_id = "UTC"
        self.ahead_of_utc: Callable[[datetime], timedelta] = lambda _: timedelta()
        """How far local time is ahead of UTC at a moment in UTC."""

    def utc(self) -> datetime:
        return (datetime.now(UTC) + self.ahead).replace(tzinfo=None)

    def now(self) -> datetime:
        """Local time, which most of a server's functions and tables have."""
        return self.local(self.utc())

    def local(self, moment: datetime) -> datetime:
        """The local time at a moment in UTC."""
        return moment + self.ahead_of_utc(moment)

    def set(self, moment: datetime) -> None:
        """Put the clock to a moment in UTC, without a zone; it goes on from there."""
        self.ahead += moment - self.utc()

    def travel(self, **passed: float) -> None:
        self.ahead += timedelta(**passed)


class Database:
    """One database. `lock` guards all of it."""

    def __init__(self, name: str, database_id: int, clock: Clock) -> None:
        from tests.services.mssql.cdc import Cdc

        self.name, self.database_id, self.clock = name, database_id, clock
        self.lock = threading.RLock()
        self.unlocked = threading.Condition(self.lock)
        self.tables: dict[tuple[str, str], Table] = {}
        self.schemas = ["dbo", "sys", "cdc"]
        self.log: list[Committed] = []
        self.altered: list[Altered] = []
        self.lsn = 0x2D << 48 | 0xC0 << 16
        self.guid = uuid.uuid4()
        self.created = clock.now()
        self.allow_snapshot_isolation = True
        self.properties: dict[tuple[str, str, str], Any] = {}
        """Extended properties by (schema, table, name); of the database with empty schema and table."""
        self._next_object = 1_000_000
        self.cdc = Cdc(self)

    def object_id(self) -> int:
        """A fresh object id."""
        self._next_object += 16
        return self._next_object

    def create_table(self, name: str, columns: str, *, schema: str = "dbo") -> Table:
        """A table from a list of columns as in CREATE TABLE: `Id int primary key, Name nvarchar(50) not null`."""
        if "." in name:
            schema, name = name.split(".", 1)
        found: list[Column] = []
        key: list[str] = []
        for text in re.split(r",(?![^()]*\))", columns):
            part = text.strip()
            if part.lower().startswith("primary key"):
                key += [one.strip().strip("[]") for one in part[part.index("(") + 1 : -1].split(",")]
                continue
            column = re.match(r"(?:\[([^\]]+)\]|(\S+))\s+(.*)", part)
            assert column is not None, part
            column_name, rest = column[1] or column[2], column[3]
            computed = rest.lower().startswith("as ")
            rest = rest[3:] if computed else rest
            if "primary key" in rest.lower():
                key.append(column_name)
            primary = "primary key" in rest.lower()
            declared = re.sub(r"(?i)\s*(primary key|not null|null)", "", rest).strip()
            nullable = not primary and "not null" not in rest.lower()
            found.append(Column(column_name, parse_type(declared), nullable, computed, len(found) + 1))
        for one in found:
            one.nullable = one.nullable and one.name not in key
        with self.lock:
            if schema not in self.schemas:
                self.schemas.append(schema)
            created = self.clock.now()
            table = Table(schema, name, self.object_id(), found, tuple(key), created, last_column=len(found))
            self.tables[(schema.lower(), name.lower())] = table
        return table

    def table(self, name: str) -> Table:
        """A table by `name` or `schema.name`. SqlError 208."""
        schema, _, rest = name.rpartition(".")
        found = self.tables.get(((schema or "dbo").lower(), rest.lower()))
        if found is None:
            raise SqlError(208, f"Invalid object name '{name}'.")
        return found

    def drop_table(self, name: str) -> None:
        """DROP TABLE: capture instances of the table go with it."""
        with self.lock:
            table = self.table(name)
            del self.tables[(table.schema.lower(), table.name.lower())]
            self.cdc.forget(table)

    def add_column(self, name: str, declaration: str) -> None:
        """ALTER TABLE ADD: capture instances that are there do not follow."""
        with self.lock:
            table = self.table(name)
            column, kind = declaration.split(None, 1)
            computed, sparse = (
                kind.lower().startswith("as "),
                kind.lower().endswith(" column_set for all_sparse_columns"),
            )
            table.last_column += 1
            declared = parse_type(kind[3:] if computed else kind.split()[0] if sparse else kind)
            table.columns.append(Column(column, declared, True, computed, table.last_column, sparse))
            for key, row in table.rows.items():
                table.rows[key] = (*row, None)
            self._note(table, f"ALTER TABLE [{table.schema}].[{table.name}] ADD [{column}] {kind}")

    def drop_column(self, name: str, column: str) -> None:
        """ALTER TABLE DROP COLUMN: capture instances have NULL for it from then on."""
        with self.lock:
            table = self.table(name)
            at = table.at(column)
            del table.columns[at]
            for key, row in table.rows.items():
                table.rows[key] = row[:at] + row[at + 1 :]
            self._note(table, f"ALTER TABLE [{table.schema}].[{table.name}] DROP COLUMN [{column}]")

    def alter_column(self, name: str, column: str, kind: str) -> None:
        """ALTER TABLE ALTER COLUMN: change tables follow when the capture agent comes to it in the log."""
        from tests.services.mssql.functions import cast_value

        with self.lock:
            table, target = self.table(name), parse_type(kind)
            at = table.at(column)
            source = table.columns[at].type
            for key, row in table.rows.items():
                table.rows[key] = (*row[:at], cast_value(row[at], source, target), *row[at + 1 :])
            table.columns[at].type = target
            command = f"ALTER TABLE [{table.schema}].[{table.name}] ALTER COLUMN [{column}] {kind}"
            self._note(table, command, table.columns[at].id, target)

    def _note(self, table: Table, command: str, column: int = 0, kind: SqlType | None = None) -> None:
        """What ALTER TABLE leaves in the log for the capture agent."""
        if table.tracked:
            self.lsn += _BLOCK
            self.altered.append(Altered(self.lsn, self.clock.now(), table, command, column, kind))
            self.cdc.committed()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Changes that commit together at the end of the block; none of them, if it raises."""
        from tests.services.mssql.transaction import Transaction

        running = Transaction(self)
        yield running
        self._commit(running)

    def _commit(self, running: Transaction) -> None:
        with self.lock:
            self.lsn = (self.lsn | (_BLOCK - 1)) + 1 + 7 * _BLOCK
            begin = self.lsn
            for table, *_ in running.changes:
                while table.holders:
                    self.unlocked.wait()
            statements = self._logged(running.changes)
            changes = [one for together in statements for one in together]
            before = {id(one.table): (one.table, dict(one.table.rows)) for one in changes}
            try:
                for together in statements:
                    # What one statement moves leaves its old places before it takes the new ones.
                    self._apply(together)
            except SqlError:
                for table, rows in before.values():
                    table.rows = rows
                raise
            self.lsn += _SLOT
            self.log.append(Committed(begin, self.lsn, running.began, self.clock.now(), tuple(changes)))
            self.cdc.committed()

    def _logged(self, changes: list[tuple[Table, Row | None, Row | None, bool]]) -> list[list[Change]]:
        """Changes under the numbers of their log records, by record.

        The numbers fall within a transaction where change tables have __$command_id: Microsoft says not to order by
        __$seqval (cdc-capture-instance-ct-transact-sql, KB 3030352), so that nothing here may rely on it.
        """
        numbers = [self.lsn + _SLOT * (at + 1) for at in range(sum(not joined for *_, joined in changes))]
        self.lsn += _SLOT * len(numbers)
        if self.cdc.command_ids:
            numbers.reverse()
        records: list[list[Change]] = []
        for table, old, new, joined in changes:
            if not joined:
                records.append([])
            ids = tuple(column.id for column in table.columns)
            records[-1].append(Change(numbers[len(records) - 1], table, old, new, ids))
        return records

    def _apply(self, together: list[Change]) -> None:
        for one in together:
            if one.old is not None:
                one.table.rows.pop(_place(one.table, one.old), None)
        for one in together:
            if one.new is not None:
                one.table.rows[_new_place(one.table, one.new)] = one.new

    def read(self, table: Table) -> list[Row]:
        """All rows, in the order of the key."""
        with self.lock:
            return [table.rows[key] for key in sorted(table.rows, key=_order)]


def _order(key: Any) -> Any:
    return tuple((value is not None, value) for value in key) if isinstance(key, tuple) else ((True, key),)


def _place(table: Table, row: Row) -> Any:
    if table.key:
        return table.identity(row)
    return next(key for key, one in table.rows.items() if one == row)


def _new_place(table: Table, row: Row) -> Any:
    if table.key:
        key = table.identity(row)
        if key in table.rows:
            raise SqlError(2627, f"Violation of PRIMARY KEY constraint: {key} exists in '{table.schema}.{table.name}'.")
        return key
    table.next_row += 1
    return table.next_row
