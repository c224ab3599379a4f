"""mssql_cdc_table: a capture instance, which records a table's changes in a change table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_mssql.catalog import Instance, Source, read_catalog
from dstream_mssql.database import Database
from dstream_mssql.names import Table, parse_table, quote
from dstream_mssql.resources.marker import marked, read_markers, unmark
from dstream_mssql.resources.retention import apply_stored_retention
from dstream_mssql.resources.server import database_of
from dstream_mssql.settings import Connection
from dstream_sdk import (
    ConflictError,
    InvalidError,
    Object,
    ProviderError,
    ResourceContext,
    ResourceType,
    setting,
)

_ENABLE = (
    "EXEC sys.sp_cdc_enable_table @source_schema = @P1, @source_name = @P2, @capture_instance = @P3,"
    " @supports_net_changes = 0, @role_name = {role}{columns}"
)
_DISABLE = "EXEC sys.sp_cdc_disable_table @source_schema = @P1, @source_name = @P2, @capture_instance = @P3"


@dataclass(frozen=True, kw_only=True)
class CdcTableAttributes:
    """The attributes of `mssql_cdc_table`."""

    table: str = setting(description="the table: name or schema.name")
    capture_instance: str = setting(description="name of the capture instance")
    role_name: str = setting("", description="gating role; without one SELECT on the table is enough to read")
    columns: list[str] = setting(default_factory=list, description="captured columns; all if empty")
    change_table_id: int = setting(description="object id of the change table; changes when it is recreated")
    uncaptured_columns: list[str] | None = setting(
        None, description="columns that were added to the table later, and that no capture instance captures"
    )


class CdcTable(ResourceType[Connection]):
    """A capture instance; a table has at most two. Every change replaces it. Requires db_owner."""

    type = "mssql_cdc_table"
    attributes = CdcTableAttributes
    computed = ("change_table_id", "uncaptured_columns")
    replace = ("table", "capture_instance", "role_name", "columns")
    identity_attributes = ("capture_instance",)
    holds_data = True

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """Return the capture instance, or None if it does not exist."""
        with database_of(ctx.config) as database:
            return _read(database, str(identity["capture_instance"]), prior.attributes if prior else {})

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Set the marker on the table, then call sp_cdc_enable_table."""
        table, name = _table(desired), str(desired["capture_instance"])
        with database_of(ctx.config) as database:
            source = _source(database, table)
            key = (source.object_id, name.lower())
            if any(one.name.lower() == name.lower() for one in source.instances):
                if intent and read_markers(database).tables.get(key) == intent:
                    return self._finished(database, name, desired)
                raise ConflictError(
                    "Capture instance exists",
                    f"{table.full} already has a capture instance {name!r}, which dstream did not create. Plan "
                    "again: dstream then uses it unchanged.",
                )
            role, columns = str(desired.get("role_name") or ""), list(desired.get("columns") or ())
            parameters: list[Any] = [source.table.schema, source.table.name, name]
            if role:
                parameters.append(role)
            clause = ""
            if columns:
                parameters.append(", ".join(map(quote, columns)))
                clause = f", @captured_column_list = @P{len(parameters)}"
            with marked(database, intent or "", source.table, name):
                database.run(
                    f"enable CDC of {table.full}",
                    _ENABLE.format(role="@P4" if role else "NULL", columns=clause),
                    *parameters,
                )
            return self._finished(database, name, desired)

    def _finished(self, database: Database, name: str, desired: Mapping[str, Any]) -> Object:
        """Complete the creation. An error carries the object, so that it is recorded."""
        made = _existing(database, name, desired)
        try:
            apply_stored_retention(database)
        except ProviderError as problem:
            problem.object = made
            raise
        return made

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Call sp_cdc_disable_table."""
        name = str(prior.identity["capture_instance"])
        with database_of(ctx.config) as database:
            found = _find(database, name)
            if found is None:
                return
            table = found[0].table
            database.run(f"disable CDC of {table.full}", _DISABLE, table.schema, table.name, name)
            unmark(database, table, name)

    def find(self, ctx: ResourceContext[Connection], intent: str) -> Object | None:
        """Return the capture instance whose marker has the intent."""
        with database_of(ctx.config) as database:
            made = [key[1] for key, value in read_markers(database).tables.items() if value == intent]
            return _read(database, made[0], {}) if made else None


def _table(desired: Mapping[str, Any]) -> Table:
    try:
        return parse_table(str(desired["table"]))
    except ValueError as problem:
        raise InvalidError("Invalid table", str(problem), path="table") from None


def _source(database: Database, table: Table) -> Source:
    source = read_catalog(database).sources.get(table.folded)
    if source is None:
        raise InvalidError("Table not found", f"the table {table.full} does not exist", path="table")
    return source


def _find(database: Database, name: str) -> tuple[Source, Instance] | None:
    catalog = read_catalog(database)
    for source in catalog.sources.values():
        for instance in source.instances:
            if instance.name.lower() == name.lower():
                return source, instance
    return None


def _read(database: Database, name: str, spelled: Mapping[str, Any]) -> Object | None:
    """Return the capture instance. Equivalent attributes keep the spelling and order of `spelled`."""
    found = _find(database, name)
    if found is None:
        return None
    source, instance = found
    table = str(spelled.get("table") or "")
    try:
        same = bool(table) and parse_table(table).folded == source.table.folded
    except ValueError:
        same = False
    columns = [column.name for column in instance.columns]
    recorded = [str(one) for one in spelled.get("columns") or ()]
    if not recorded or {one.lower() for one in recorded} == {one.lower() for one in columns}:
        columns = recorded
    spelling = str(spelled.get("capture_instance") or instance.name)
    attributes = {
        "table": table if same else source.table.full,
        "capture_instance": spelling,
        "role_name": instance.role or "",
        "columns": columns,
        "change_table_id": instance.object_id,
        # With an explicit list of columns, the others are left out on purpose.
        "uncaptured_columns": None if recorded else list(source.uncaptured) or None,
    }
    return Object({"capture_instance": spelling}, attributes)


def _existing(database: Database, name: str, spelled: Mapping[str, Any]) -> Object:
    found = _read(database, name, spelled)
    if found is None:
        raise ConflictError("Capture instance not found", f"{name!r} was disabled after the plan was made; plan again")
    return found
