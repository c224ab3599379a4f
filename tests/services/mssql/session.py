"""Session: one connection's view of the server: its login, database, transaction, and the statements it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.services.mssql import catalog, procedures
from tests.services.mssql.functions import Value
from tests.services.mssql.model import Database, Login, Row, SqlError, Table
from tests.services.mssql.query import Compiled, Field, Query, Relation, statements
from tests.services.mssql.relations import change_table, changes
from tests.services.mssql.types import SqlType
from tests.services.mssql.writing import WRITES, write

if TYPE_CHECKING:
    from tests.services.mssql.server import SqlServer

READ_COMMITTED, SNAPSHOT = 0, 5
_SCAN = 50


@dataclass(slots=True)
class Result:
    """What one statement gave: rows with their columns, or nothing."""

    fields: list[Field] = field(default_factory=list)
    rows: Iterable[Row] = ()


class Session:
    """One connection, after its login."""

    def __init__(self, server: SqlServer, login: Login, database: Database, number: int) -> None:
        self.server, self.login, self.database, self.number = server, login, database, number
        self.clock = server.clock
        self.transaction = 0
        self.isolation = READ_COMMITTED
        self._versions: dict[int, list[Row]] | None = None

    def execute(self, text: str, parameters: dict[str, Value]) -> Iterator[Result]:
        """Run the statements of a batch, one result each. SqlError."""
        for statement in statements(text):
            query = Query(self, parameters)
            if isinstance(statement, (exp.Execute, *WRITES)) and self.server.flavour.read_only:
                raise SqlError(
                    3906, f'Failed to update database "{self.database.name}" because the database is read-only.', 16
                )
            if isinstance(statement, exp.Execute):
                procedures.call(self, query, statement)
                yield Result()
            elif isinstance(statement, exp.Set) or (
                isinstance(statement, exp.Command) and statement.this.upper() == "SET"
            ):
                yield Result()
            elif isinstance(statement, WRITES):
                write(self, query, statement)
                yield Result()
            elif isinstance(statement, exp.Select | exp.Union | exp.Subquery):
                found = query.select(statement)
                yield Result(found.fields, found.rows)
            else:
                raise SqlError(102, f"Not understood: {text[:200]}", 15)

    def begin(self, isolation: int) -> int:
        """BEGIN TRANSACTION; returns its number."""
        if isolation:
            self.isolation = isolation
        self.transaction = self.server.next_number()
        self._versions = None
        return self.transaction

    def end(self) -> None:
        """COMMIT or ROLLBACK: locks go."""
        self.transaction, self._versions = 0, None
        with self.database.lock:
            for table in self.database.tables.values():
                table.holders.pop(self.number, None)
            self.database.unlocked.notify_all()

    def variable(self, name: str) -> Compiled:
        """`@@name`."""
        if name.upper() == "TRANCOUNT":
            return lambda _: int(bool(self.transaction)), SqlType("int")
        if name.upper() == "SPID":
            return lambda _: self.number, SqlType("smallint")
        raise SqlError(137, f'Must declare the scalar variable "@@{name}".', 15)

    def sees(self, table: Table) -> bool:
        """Whether the login may see a table's metadata."""
        grants = {one.lower() for one in self.login.grants}
        name = f"select {table.schema}.{table.name}".lower()
        return self.login.owner or bool({name, "select *"} & grants)

    def object_id(self, name: str) -> int | None:
        """OBJECT_ID."""
        plain = name.replace("[", "").replace("]", "")
        found = self.database.tables.get(tuple(plain.lower().rpartition(".")[::2]))  # type: ignore[call-overload]
        if found is None and "." not in plain:
            found = self.database.tables.get(("dbo", plain.lower()))
        return found.object_id if found else None

    def object_name(self, number: int) -> str | None:
        """OBJECT_NAME."""
        return next((one.name for one in self.database.tables.values() if one.object_id == number), None)

    def relation(self, database: str, schema: str, name: str, hints: str) -> Relation:
        """What stands in FROM: a view or a table. SqlError 208, 229."""
        if database and self.server.flavour.azure and database.lower() != self.database.name.lower():
            raise SqlError(
                40515,
                f"Reference to database and/or server name in '{database}.{schema}.{name}' is not supported in this "
                "version of SQL Server.",
                15,
            )
        full = ".".join(part for part in (database, schema, name) if part)
        found = catalog.view(self, full)
        if found is not None:
            return found
        with self.database.lock:
            if schema.lower() == "cdc" and name.lower().endswith("_ct"):
                instance = self.database.cdc.instances.get(name[:-3].lower())
                if instance is not None:
                    if not self.login.owner and "select cdc" not in {one.lower() for one in self.login.grants}:
                        raise SqlError(229, f"The SELECT permission was denied on the object '{name}'.", 14)
                    self.database.cdc.wait_for_lock(instance)
                    self.database.cdc.check_readable(instance)
                    return change_table(instance, command_ids=self.database.cdc.command_ids)
            table = self.database.table(f"{schema}.{name}")
            if not self.sees(table):
                raise SqlError(
                    229,
                    f"The SELECT permission was denied on the object '{name}', database '{self.database.name}', schema "
                    f"'{schema}'.",
                    14,
                )
            if "TABLOCK" in hints and self.transaction and not self.server.flavour.read_only:
                table.holders[self.number] = table.holders.get(self.number, 0) + 1
            fields = [(column.name, column.type, column.nullable) for column in table.columns]
            if self.transaction and self.isolation == SNAPSHOT:
                if not self.database.allow_snapshot_isolation:
                    raise SqlError(
                        3952,
                        f"Snapshot isolation transaction failed accessing database '{self.database.name}' because "
                        "snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot "
                        "isolation.",
                    )
                if self._versions is None:
                    # The whole database as it is at the first access.
                    self._versions = {one.object_id: self.database.read(one) for one in self.database.tables.values()}
                return Relation(fields, self._versions[table.object_id])
            return Relation(fields, self._scan(table))

    def _scan(self, table: Table) -> Iterator[Row]:
        """READ COMMITTED: rows as they are when the scan comes to them, in the order of the key."""
        last: Any = None
        while True:
            with self.database.lock:
                keys = sorted(key for key in table.rows if last is None or key > last)[:_SCAN]
                found = [table.rows[key] for key in keys]
            if not keys:
                return
            yield from found
            last = keys[-1]

    def function(self, schema: str, name: str, arguments: list[Any]) -> Relation:
        """A table-valued function. SqlError 208, 313, 229."""
        lowered = name.lower()
        if schema.lower() == "cdc" and lowered.startswith("fn_cdc_get_all_changes_"):
            first, last, option = arguments
            found = self.database.cdc.all_changes(
                name[len("fn_cdc_get_all_changes_") :],
                int.from_bytes((first or b"").ljust(10, b"\0"), "big"),
                int.from_bytes((last or b"").ljust(10, b"\0"), "big"),
                option,
                self.login,
            )
            return changes(*found)
        if (schema.lower(), lowered) == ("sys", "dm_db_log_stats"):
            relation = catalog.view(self, "sys.dm_db_log_stats")
            assert relation is not None
            return relation
        raise SqlError(208, f"Invalid object name '{schema}.{name}'.")
