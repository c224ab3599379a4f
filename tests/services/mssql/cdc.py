"""Change data capture as Microsoft documents it: capture instances, the capture agent, cleanup, and the functions.

- The agent reads the log up to its end and fills the change tables and lsn_time_mapping. While it is stopped nothing
  appears, and nobody is told. With nothing to capture it adds an entry every five minutes (tran_id 0x00).
- A capture instance holds what committed from its start_lsn on, with the columns that the table had when it was made;
  a column that is dropped later is NULL. A table has two at most.
- Cleanup removes what is older than the retention, counted back from the newest entry, and raises start_lsn.
- Deletes and inserts carry all columns; updates two rows of one __$seqval. An update of the primary key is a delete and
  an insert. Values of large types are NULL in the row before an update that did not touch them; computed ones always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.services.mssql.model import Change, Column, Committed, Row, SqlError, Table

if TYPE_CHECKING:
    from tests.services.mssql.model import Database, Login

DELETE, INSERT, BEFORE, AFTER = 1, 2, 3, 4
IDLE_ENTRY_AFTER = timedelta(minutes=5)
_OLD_LOBS = ("text", "ntext", "image")


@dataclass(slots=True)
class Captured:
    """A row of a change table."""

    start_lsn: int
    seqval: int
    operation: int
    update_mask: bytes
    values: Row


@dataclass(slots=True)
class Instance:
    """A capture instance."""

    name: str
    table: Table
    object_id: int
    start_lsn: int
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of cdc.lsn_time_mapping."""

    start_lsn: int
    began: datetime
    ended: datetime
    tran_id: bytes
    begin_lsn: int


class Cdc:
    """Change data capture of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.enabled = False
        self.running = True
        """Whether the capture agent runs. Set it False to stop it; `capture()` reads the log by hand."""
        self.retention = 4320
        """Minutes."""
        self.instances: dict[str, Instance] = {}
        self.mapping: list[Entry] = []
        self.errors: list[str] = []
        self._read = 0
        self.scans: list[tuple[datetime, int]] = []

    def enable(self) -> None:
        """sp_cdc_enable_db. SqlError 22906 if it is on."""
        if self.enabled:
            raise SqlError(22906, f"The database '{self._database.name}' is already enabled for Change Data Capture.")
        self.enabled = True
        self._read = len(self._database.log)

    def disable(self) -> None:
        """sp_cdc_disable_db: everything goes."""
        self.require()
        for table in self._database.tables.values():
            table.tracked = False
        self.enabled = False
        self.instances.clear()
        self.mapping.clear()
        self.scans.clear()

    def require(self) -> None:
        """SqlError 22901 unless the database is enabled."""
        if not self.enabled:
            raise SqlError(
                22901,
                f"The database '{self._database.name}' is not enabled for Change Data Capture. Ensure that the correct "
                "database context is set and retry the operation.",
            )

    def enable_table(
        self,
        table: str,
        *,
        instance: str | None = None,
        columns: list[str] | None = None,
        role: str | None = None,
        supports_net_changes: bool | None = None,
    ) -> Instance:
        """sp_cdc_enable_table."""
        database = self._database
        with database.lock:
            self.require()
            source = database.table(table)
            name = instance or f"{source.schema}_{source.name}"
            if len(name) > 100:
                raise SqlError(22939, f"The capture instance name '{name}' is longer than 100 characters.")
            if name.lower() in self.instances:
                raise SqlError(
                    22926,
                    f"Could not create a capture instance because the capture instance name '{name}' already exists in "
                    "the current database. Specify an explicit unique name for the parameter @capture_instance.",
                )
            if sum(one.table is source for one in self.instances.values()) >= 2:
                raise SqlError(
                    22962,
                    f"Two capture instances already exist for source table '{source.schema}.{source.name}'. A table "
                    "can have at most two capture instances. If the current tracking options are not appropriate, "
                    "disable change tracking for the obsolete instance by using sys.sp_cdc_disable_table and retry "
                    "the operation.",
                )
            if supports_net_changes and not source.key:
                raise SqlError(
                    22939,
                    "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key "
                    "defined and no alternate unique index has been specified.",
                )
            database.lsn += 1 << 16  # enabling is in the log itself
            chosen = source.columns if columns is None else [source.columns[source.at(one)] for one in columns]
            made = Instance(
                name,
                source,
                database.object_id(),
                database.lsn,
                list(chosen),
                database.clock.now(),
                role,
                bool(source.key) if supports_net_changes is None else supports_net_changes,
                source.key,
                enabled_at=database.lsn,
            )
            self.instances[name.lower()] = made
            source.tracked = True
            return made

    def disable_table(self, table: str, instance: str) -> None:
        """sp_cdc_disable_table for one instance, or for `all`."""
        with self._database.lock:
            self.require()
            source = self._database.table(table)
            mine = [one for one in self.instances.values() if one.table is source]
            gone = [one for one in mine if instance.lower() in ("all", one.name.lower())]
            if not gone:
                raise SqlError(
                    22960,
                    f"Change data capture instance '{instance}' has not been enabled for the source table "
                    f"'{source.schema}.{source.name}'. Use sys.sp_cdc_help_change_data_capture to verify the capture "
                    "instance name and retry the operation.",
                )
            for one in gone:
                del self.instances[one.name.lower()]
            source.tracked = len(mine) > len(gone)

    def forget(self, table: Table) -> None:
        """The table was dropped."""
        self.instances = {name: one for name, one in self.instances.items() if one.table is not table}

    def committed(self) -> None:
        """A transaction is in the log."""
        if self.enabled and self.running:
            self.capture()

    def capture(self) -> None:
        """Read the log to its end."""
        with self._database.lock:
            log = self._database.log
            for transaction in log[self._read :]:
                self._capture(transaction)
            self._read = len(log)
            self.scans.append((self._database.clock.now(), len(self.scans) + 1))
            del self.scans[:-5]

    def look(self) -> None:
        """What the agent does in the course of time: an entry every five minutes without one."""
        if not self.enabled or not self.running:
            return
        self.capture()
        now = self._database.clock.now()
        newest = self.mapping[-1].ended if self.mapping else None
        if newest is None or now - newest >= IDLE_ENTRY_AFTER:
            self.idle_entry()

    def idle_entry(self) -> None:
        """Add an entry without changes."""
        database = self._database
        with database.lock:
            now = database.clock.now()
            database.lsn += 1 << 16
            self.mapping.append(Entry(database.lsn, now, now, bytes(10), 0))

    def cleanup(self, low: int | None = None) -> int:
        """Remove what is older than the retention, or than `low`; return the new low water mark."""
        database = self._database
        with database.lock:
            if low is None:
                if not self.mapping:
                    return 0
                limit = self.mapping[-1].ended - timedelta(minutes=self.retention)
                kept = [one for one in self.mapping if one.ended >= limit]
                low = kept[0].start_lsn if kept else self.mapping[-1].start_lsn
            for instance in self.instances.values():
                instance.rows = [one for one in instance.rows if one.start_lsn >= low]
                instance.start_lsn = max(instance.start_lsn, low)
            self.mapping = [one for one in self.mapping if one.start_lsn >= low]
            return low

    def max_lsn(self) -> int | None:
        """fn_cdc_get_max_lsn."""
        with self._database.lock:
            self.look()
            return self.mapping[-1].start_lsn if self.mapping else None

    def min_lsn(self, name: str, login: Login) -> int:
        """fn_cdc_get_min_lsn: 0 if there is no such instance, or the caller may not read it."""
        instance = self.instances.get(name.lower())
        return instance.start_lsn if instance and instance.visible_to(login) else 0

    def all_changes(
        self, name: str, first: int, last: int, option: str, login: Login
    ) -> tuple[Instance, list[Captured]]:
        """The rows of fn_cdc_get_all_changes_NAME. SqlError 229, 313, 208."""
        with self._database.lock:
            instance = self.instances.get(name.lower())
            function = f"cdc.fn_cdc_get_all_changes_{name}"
            if instance is None:
                raise SqlError(208, f"Invalid object name '{function}'.")
            if not instance.visible_to(login):
                raise SqlError(
                    229,
                    f"The SELECT permission was denied on the object 'fn_cdc_get_all_changes_{name}', database "
                    f"'{self._database.name}', schema 'cdc'.",
                    14,
                )
            newest = self.max_lsn() or 0
            if instance.broken:
                raise SqlError(
                    824, "SQL Server detected a logical consistency-based I/O error: incorrect checksum.", 24
                )
            if option not in ("all", "all update old") or not instance.start_lsn <= first <= last <= newest:
                raise SqlError(
                    313,
                    f"An insufficient number of arguments were supplied for the procedure or function {function} ... .",
                )
            found = [one for one in instance.rows if first <= one.start_lsn <= last]
            if option == "all":
                found = [one for one in found if one.operation != BEFORE]
            return instance, found

    def _capture(self, transaction: Committed) -> None:
        captured = False
        for change in transaction.changes:
            for instance in self.instances.values():
                if instance.table is change.table and transaction.commit_lsn > instance.enabled_at:
                    instance.rows += _rows(instance, transaction.commit_lsn, change)
                    captured = True
        if captured:
            entry = Entry(
                transaction.commit_lsn,
                transaction.began,
                transaction.ended,
                transaction.begin_lsn.to_bytes(10, "big"),
                transaction.begin_lsn,
            )
            self.mapping.append(entry)


def _rows(instance: Instance, lsn: int, change: Change) -> list[Captured]:
    table = instance.table
    every = _mask(range(len(instance.columns)), len(instance.columns))
    old = None if change.old is None else _pick(instance, change.old, change.names)
    new = None if change.new is None else _pick(instance, change.new, change.names)
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


def _pick(instance: Instance, row: Row, names: tuple[str, ...]) -> Row:
    """The captured columns of a row, those that the table had when it was written."""
    values = dict(zip(names, row, strict=True))
    return tuple(None if column.computed else values.get(column.name.lower()) for column in instance.columns)


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
