"""mssql_cdc_database: change data capture of a database, and its retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.resources.marker import marked, read_markers, store_retention, unmark
from dstream_mssql.resources.retention import current_retention, set_retention
from dstream_mssql.resources.server import database_of
from dstream_mssql.settings import Connection
from dstream_sdk import (
    ConflictError,
    DeniedError,
    InvalidError,
    Object,
    ProviderError,
    ResourceContext,
    ResourceType,
    setting,
)

_LEFT = "SELECT capture_instance FROM cdc.change_tables"


@dataclass(frozen=True, kw_only=True)
class CdcDatabaseAttributes:
    """The attributes of `mssql_cdc_database`."""

    database: str = setting(description="the database of the connection string")
    retention_minutes: int | None = setting(
        None, description="how long changes are kept before cleanup; SQL Server's default is 3 days", minimum=1
    )


class CdcDatabase(ResourceType[Connection]):
    """CDC of a database. Enabling it requires sysadmin (db_owner in Azure SQL)."""

    type = "mssql_cdc_database"
    attributes = CdcDatabaseAttributes
    replace = ("database",)
    identity_attributes = ("database",)

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """Return CDC of the database, or None if it is off."""
        with database_of(ctx.config) as database:
            return _read(database, identity, prior.attributes if prior else {})

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Set the marker, then call sp_cdc_enable_db."""
        with database_of(ctx.config) as database:
            name, cdc = _state(database)
            if name.lower() != str(desired["database"]).lower():
                raise InvalidError(
                    "Database mismatch",
                    f"the connection string names {name!r}, not {desired['database']!r}",
                    path="database",
                )
            again = cdc and bool(intent) and read_markers(database).database_intent == intent
            if cdc and not again:
                raise ConflictError(
                    "CDC already enabled",
                    f"it was enabled in {name} after the plan was made. Plan again: dstream then uses it unchanged.",
                )
            if not again:
                _enable(database, name, intent or "")
            try:
                set_retention(database, _minutes(desired))
                return _existing(database, desired)
            except ProviderError as problem:
                # A retry of the request finds the marker and continues here. Without an intent, the object is recorded.
                made = str(desired["database"])
                problem.object = Object({"database": made}, {"database": made, "retention_minutes": None})
                raise

    def update(self, ctx: ResourceContext[Connection], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Change the retention by sp_cdc_change_job."""
        with database_of(ctx.config) as database:
            set_retention(database, _minutes(desired))
            return _existing(database, desired)

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Call sp_cdc_disable_db, unless it would also disable capture instances that dstream does not manage."""
        with database_of(ctx.config) as database:
            name, cdc = _state(database)
            if cdc:
                left = [instance for (instance,) in database.rows(_LEFT)]
                if left:
                    raise ConflictError(
                        "CDC is in use",
                        f"{name} still has the capture instances {', '.join(sorted(left)[:10])}, which dstream does "
                        "not manage; disabling CDC of the database would remove them. Disable these first, or remove "
                        "this object from the state with `dstream state rm`.",
                    )
                database.run("disable CDC of the database", "EXEC sys.sp_cdc_disable_db")
            store_retention(database, None)
            unmark(database)

    def find(self, ctx: ResourceContext[Connection], intent: str) -> Object | None:
        """Return CDC of the database if its marker has the intent."""
        with database_of(ctx.config) as database:
            if read_markers(database).database_intent != intent:
                return None
            return _read(database, {"database": _state(database)[0]}, {})


def _enable(database: Database, name: str, intent: str) -> None:
    """Set the marker, then enable CDC. Raises ProviderError, and removes the marker unless the outcome is unknown."""
    with marked(database, intent):
        try:
            database.run("enable CDC of the database", "EXEC sys.sp_cdc_enable_db")
        except DeniedError as problem:
            raise DeniedError(
                "Permission to enable CDC missing",
                f"{problem.detail}. This requires the server role sysadmin (db_owner in Azure SQL Database). Have an "
                f"administrator run `USE [{name}]; EXEC sys.sp_cdc_enable_db;`, then plan again: dstream then "
                "uses it unchanged.",
            ) from None


def _state(database: Database) -> tuple[str, bool]:
    name, cdc, *_ = database.rows(statements.DATABASE)[0]
    return str(name), bool(cdc)


def _minutes(desired: Mapping[str, Any]) -> int | None:
    minutes = desired.get("retention_minutes")
    return None if minutes is None else int(minutes)


def _read(database: Database, identity: Mapping[str, Any], spelled: Mapping[str, Any]) -> Object | None:
    name, cdc = _state(database)
    database_name = str(identity["database"])
    if not cdc or name.lower() != database_name.lower():
        return None
    minutes = spelled.get("retention_minutes")
    if minutes is not None:
        # Without permission to read the retention, the recorded value stands.
        found = current_retention(database)
        minutes = minutes if found is None else found
    return Object({"database": database_name}, {"database": database_name, "retention_minutes": minutes})


def _existing(database: Database, desired: Mapping[str, Any]) -> Object:
    found = _read(database, desired, desired)
    if found is None:
        raise ConflictError("CDC is off", "it was disabled after the plan was made; plan again")
    return found
