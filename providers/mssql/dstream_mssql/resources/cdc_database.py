"""mssql_cdc_database: change data capture of the database, and how long its change tables keep changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.resources.marker import marked, note_retention, read_markers, unmark
from dstream_mssql.resources.retention import current_retention, want_retention
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
    """What CDC of a database is."""

    database: str = setting(description="the database of the connection string")
    retention_minutes: int | None = setting(
        None, description="how long changes are kept before cleanup; SQL Server's own (3 days) if not given", minimum=1
    )


class CdcDatabase(ResourceType[Connection]):
    """CDC of a database. Enabling it takes sysadmin (db_owner in Azure SQL)."""

    type = "mssql_cdc_database"
    attributes = CdcDatabaseAttributes
    replace = ("database",)
    identity_attributes = ("database",)

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """CDC as it is, None if it is off."""
        with database_of(ctx.config) as database:
            return _read(database, identity, prior.attributes if prior else {})

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Leave the marker, then sp_cdc_enable_db."""
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
                    f"it was enabled in {name} after the plan was made. Plan again: dstream then uses it as it is.",
                )
            if not again:
                _enable(database, name, intent or "")
            try:
                want_retention(database, _minutes(desired))
                return _existing(database, desired)
            except ProviderError as problem:
                # The same request again finds its marker and goes on from here; without one, the object is recorded.
                made = str(desired["database"])
                problem.object = Object({"database": made}, {"database": made, "retention_minutes": None})
                raise

    def update(self, ctx: ResourceContext[Connection], prior: Object, desired: Mapping[str, Any]) -> Object:
        """sp_cdc_change_job for another retention."""
        with database_of(ctx.config) as database:
            want_retention(database, _minutes(desired))
            return _existing(database, desired)

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """sp_cdc_disable_db, unless tables of others are still captured: these would go with it."""
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
            note_retention(database, None)
            unmark(database)

    def find(self, ctx: ResourceContext[Connection], intent: str) -> Object | None:
        """CDC, if its marker has the intent."""
        with database_of(ctx.config) as database:
            if read_markers(database).database_intent != intent:
                return None
            return _read(database, {"database": _state(database)[0]}, {})


def _enable(database: Database, name: str, intent: str) -> None:
    """Leave the marker, then enable CDC. Raises ProviderError, with the marker gone unless the result is unknown."""
    with marked(database, intent):
        try:
            database.run("enable CDC of the database", "EXEC sys.sp_cdc_enable_db")
        except DeniedError as problem:
            raise DeniedError(
                "Permission to enable CDC missing",
                f"{problem.detail}. It takes the server role sysadmin (db_owner in Azure SQL Database). Let an "
                f"administrator run `USE [{name}]; EXEC sys.sp_cdc_enable_db;`, then plan again: dstream then "
                "uses it as it is.",
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
        # Without the permission to ask it counts as what it was.
        found = current_retention(database)
        minutes = minutes if found is None else found
    return Object({"database": database_name}, {"database": database_name, "retention_minutes": minutes})


def _existing(database: Database, desired: Mapping[str, Any]) -> Object:
    found = _read(database, desired, desired)
    if found is None:
        raise ConflictError("CDC is off", "it was disabled after the plan was made; plan again")
    return found
