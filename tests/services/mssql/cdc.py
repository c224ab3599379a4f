"""Change data capture as Microsoft documents it: capture instances, the capture agent, cleanup, and the functions.

- The agent reads the log up to its end and fills the change tables and lsn_time_mapping. While it is stopped nothing
  appears, and nobody is told. With nothing to capture it adds an entry every five minutes (tran_id 0x00).
- A capture instance holds what committed from its start_lsn on, with the columns that the table had when it was made;
  a column that is dropped later is NULL, also when another one of its name is added. A table has two at most. Its
  start_lsn is NULL until the agent has come to its making in the log.
- A column's new type becomes that of the change tables, and ALTER TABLE an entry of ddl_history, when the agent has
  come to it in the log.
- Cleanup removes what is older than the retention, counted back from the newest entry, and raises start_lsn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.services.mssql.change_table import BEFORE, Captured, Instance, number, rows_of
from tests.services.mssql.model import Altered, Committed, SqlError, Table

if TYPE_CHECKING:
    from tests.services.mssql.model import Database, Login

IDLE_ENTRY_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Made:
    """The making of a capture instance, in the log."""

    commit_lsn: int
    instance: Instance


@dataclass(frozen=True, slots=True)
class History:
    """A row of cdc.ddl_history."""

    source: Table
    object_id: int
    required_column_update: bool
    command: str
    lsn: int
    at: datetime


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
        self.jobs = False
        """Whether the jobs have been created, which the first captured table brings about."""
        self.command_ids = True
        """Whether change tables have __$command_id, as since the updates that KB 3030352 names."""
        self.running = True
        """Whether the capture agent runs. Set it False to stop it; `capture()` reads the log by hand."""
        self.retention = 4320
        """Minutes."""
        self.instances: dict[str, Instance] = {}
        self.mapping: list[Entry] = []
        self.errors: list[str] = []
        self.history: list[History] = []
        self._made: list[Made] = []
        self._read = self._read_made = self._read_altered = 0
        self.scans: list[tuple[datetime, int]] = []
        self._locked: set[str] = set()

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock of a whole change table, as cleanup does that deletes many rows: readers wait, without end.

        Sources: sys-sp-cdc-cleanup-change-table-transact-sql (lock escalation), set-lock-timeout-transact-sql.
        """
        with self._database.lock:
            self._locked.add(name.lower())
        try:
            yield
        finally:
            with self._database.lock:
                self._locked.discard(name.lower())
                self._database.unlocked.notify_all()

    def wait_for_lock(self, instance: Instance) -> None:
        """Wait until a change table can be read; the caller has the database's lock."""
        while instance.name.lower() in self._locked:
            self._database.unlocked.wait()

    def enable(self) -> None:
        """sp_cdc_enable_db. SqlError 22906 if it is on."""
        if self.enabled:
            raise SqlError(22906, f"The database '{self._database.name}' is already enabled for Change Data Capture.")
        self.enabled = True
        self._read, self._read_altered = len(self._database.log), len(self._database.altered)

    def disable(self) -> None:
        """sp_cdc_disable_db: everything goes."""
        self.require()
        for table in self._database.tables.values():
            table.tracked = False
        self.enabled = self.jobs = False
        self.instances.clear()
        self.mapping.clear()
        self.history.clear()
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
                raise SqlError(22927, f"Capture instance name '{name}' exceeds the length limit of 100 characters.")
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
                None,
                [replace(one) for one in chosen if not one.column_set],
                database.clock.now(),
                role,
                bool(source.key) if supports_net_changes is None else supports_net_changes,
                source.key,
                enabled_at=database.lsn,
            )
            self.instances[name.lower()] = made
            source.tracked = True
            self._made.append(Made(database.lsn, made))
            self.jobs = True
            self.committed()
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
                self.history = [row for row in self.history if row.object_id != one.object_id]
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
            log, altered, made = self._database.log, self._database.altered, self._made
            found: list[Committed | Altered | Made] = [*log[self._read :], *altered[self._read_altered :]]
            found += made[self._read_made :]
            for one in sorted(found, key=lambda one: one.commit_lsn):
                if isinstance(one, Made):
                    one.instance.start_lsn = one.commit_lsn
                elif isinstance(one, Altered):
                    self._follow(one)
                else:
                    self._capture(one)
            self._read, self._read_altered, self._read_made = len(log), len(altered), len(made)
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
                if instance.start_lsn is not None:
                    instance.start_lsn = max(instance.start_lsn, low)
            self.mapping = [one for one in self.mapping if one.start_lsn >= low]
            return low

    def cleanup_table(self, name: str, low: int) -> None:
        """sp_cdc_cleanup_change_table: `low` must be an LSN of cdc.lsn_time_mapping. SqlError 22964 if it is not."""
        with self._database.lock:
            if all(one.start_lsn != low for one in self.mapping):
                raise SqlError(22964, "LSN is not represented as start_lsn of an entry in cdc.lsn_time_mapping.")
            instance = self.instances[name.lower()]
            instance.rows = [one for one in instance.rows if one.start_lsn >= low]
            instance.start_lsn = max(instance.start_lsn or 0, low)

    def max_lsn(self) -> int | None:
        """fn_cdc_get_max_lsn."""
        with self._database.lock:
            self.look()
            return self.mapping[-1].start_lsn if self.mapping else None

    def min_lsn(self, name: str, login: Login) -> int:
        """fn_cdc_get_min_lsn: 0 if there is no such instance, or the caller may not read it."""
        instance = self.instances.get(name.lower())
        return (instance.start_lsn or 0) if instance and instance.visible_to(login) else 0

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
            self.check_readable(instance)
            low = instance.start_lsn
            if option not in ("all", "all update old") or low is None or not low <= first <= last <= newest:
                raise SqlError(
                    313,
                    f"An insufficient number of arguments were supplied for the procedure or function {function} ... .",
                )
            found = [one for one in instance.rows if first <= one.start_lsn <= last]
            if option == "all":
                found = [one for one in found if one.operation != BEFORE]
            return instance, found

    def check_readable(self, instance: Instance) -> None:
        """SqlError 824 if a page of the change table is damaged."""
        if instance.broken:
            raise SqlError(824, "SQL Server detected a logical consistency-based I/O error: incorrect checksum.", 24)

    def change_retention(self, minutes: int, *, in_database: bool) -> None:
        """sp_cdc_change_job for the cleanup job. SqlError 22993 or 22997 while there is none, 22994."""
        if not self.jobs and not in_database:
            raise SqlError(
                22993,
                f"The Change Data Capture job table containing job information for database '{self._database.name}' "
                "cannot be found in the msdb system database. Run the stored procedure 'sys.sp_cdc_add_job' to create "
                "the appropriate CDC capture or cleanup job. The stored procedure will create the required job table.",
            )
        if not self.jobs:
            raise SqlError(
                22997,
                "The Change Data Capture 'cleanup' job does not exist in the system table 'cdc.cdc_jobs'. Use the "
                "stored procedure 'sys.sp_cdc_add_job' to add the Change Data Capture job.",
            )
        if not 0 < minutes <= 52_594_800:
            raise SqlError(22994, "The retention value must be greater than 0 and less than or equal to 52594800.")
        self.retention = minutes

    def _follow(self, altered: Altered) -> None:
        """Make the change tables' columns as the source's are, and note that it was altered."""
        from tests.services.mssql.functions import cast_value

        for instance in self.instances.values():
            if instance.table is not altered.table or altered.commit_lsn <= instance.enabled_at:
                continue
            found = [at for at, one in enumerate(instance.columns) if one.id == altered.column]
            if altered.type is not None:
                for at in found:
                    column = instance.columns[at]
                    for row in instance.rows:
                        value = cast_value(row.values[at], column.type, altered.type)
                        row.values = (*row.values[:at], value, *row.values[at + 1 :])
                    column.type = altered.type
            history = (altered.table, instance.object_id, bool(found), altered.command, altered.commit_lsn, altered.at)
            self.history.append(History(*history))

    def _capture(self, transaction: Committed) -> None:
        captured = False
        for instance in self.instances.values():
            if transaction.commit_lsn <= instance.enabled_at:
                continue
            last = 0
            own = [one for one in transaction.changes if one.table is instance.table]
            for _, together in itertools.groupby(own, key=lambda one: one.seqval):
                rows = [row for one in together for row in rows_of(instance, transaction.commit_lsn, one)]
                last = number(rows, last)
                instance.rows += rows
            captured = captured or bool(own)
        if captured:
            entry = Entry(
                transaction.commit_lsn,
                transaction.began,
                transaction.ended,
                transaction.begin_lsn.to_bytes(10, "big"),
                transaction.begin_lsn,
            )
            self.mapping.append(entry)
