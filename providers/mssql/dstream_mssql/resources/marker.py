"""Markers: extended properties that record what dstream enabled, and by which intent.

`dstream_cdc` is set on the database, `dstream_cdc:INSTANCE` on a table. CDC that another user enabled has no marker and
stays out of plans. An object whose creating request lost its answer is found again by its intent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dstream_mssql.database import Database
from dstream_mssql.errors import Lost
from dstream_mssql.names import Table

NAME = "dstream_cdc"
_RETENTION = f"{NAME}:retention"
_READ = (
    "SELECT e.major_id, e.name, CONVERT(nvarchar(4000), e.value) FROM sys.extended_properties AS e"
    " WHERE e.class <= 1 AND e.minor_id = 0 AND e.name >= N'dstream_cdc' AND e.name < N'dstream_cdd'"
)
_AT = (
    ", @level0type = N'SCHEMA', @level0name = @P3, @level1type = N'TABLE', @level1name = @P4",
    ", @level0type = N'SCHEMA', @level0name = @P2, @level1type = N'TABLE', @level1name = @P3",
)


@dataclass(frozen=True, slots=True)
class Markers:
    """What dstream enabled: the database, and tables by object id and capture instance in lower case."""

    database: bool
    database_intent: str
    tables: dict[tuple[int, str], str]
    """The intents."""
    retention: int | None = None
    """The retention in minutes that was configured before the cleanup job existed."""


def read_markers(database: Database) -> Markers:
    """Read all markers. Raises ProviderError."""
    found = database.rows(_READ)
    own = [value for major, name, value in found if not major and name == NAME]
    tables = {(major, name.partition(":")[2]): value or "" for major, name, value in found if major}
    minutes = next((int(value) for major, name, value in found if not major and name == _RETENTION), None)
    return Markers(bool(own), own[0] if own else "", tables, minutes)


def mark(database: Database, intent: str, table: Table | None = None, instance: str = "") -> None:
    """Set or update a marker. Raises ProviderError."""
    name = f"{NAME}:{instance.lower()}" if table else NAME
    where = (table.schema, table.name) if table else ()
    made = read_markers(database)
    there = made.database if table is None else any(key[1] == instance.lower() for key in made.tables)
    verb = "sp_updateextendedproperty" if there else "sp_addextendedproperty"
    at = _AT[0] if table else ""
    database.run("set a marker", f"EXEC sys.{verb} @name = @P1, @value = @P2{at}", name, intent, *where)


@contextlib.contextmanager
def marked(database: Database, intent: str, table: Table | None = None, instance: str = "") -> Iterator[None]:
    """Set a marker for what the context creates, and remove it if that fails.

    After a lost connection the marker stays: the object may exist, and the marker identifies it.
    """
    mark(database, intent, table, instance)
    try:
        yield
    except Lost:
        raise
    except Exception:
        unmark(database, table, instance)
        raise


def unmark(database: Database, table: Table | None = None, instance: str = "") -> None:
    """Remove a marker if it exists. Raises ProviderError."""
    name = f"{NAME}:{instance.lower()}" if table else NAME
    made = read_markers(database)
    there = made.database if table is None else any(key[1] == instance.lower() for key in made.tables)
    if there:
        where = (table.schema, table.name) if table else ()
        at = _AT[1] if table else ""
        database.run("remove a marker", f"EXEC sys.sp_dropextendedproperty @name = @P1{at}", name, *where)


def store_retention(database: Database, minutes: int | None) -> None:
    """Store the retention until the first captured table creates the cleanup job; None removes it."""
    noted = read_markers(database).retention
    if noted == minutes:
        return
    if minutes is None:
        database.run("remove a marker", "EXEC sys.sp_dropextendedproperty @name = @P1", _RETENTION)
        return
    verb = "sp_addextendedproperty" if noted is None else "sp_updateextendedproperty"
    database.run("set a marker", f"EXEC sys.{verb} @name = @P1, @value = @P2", _RETENTION, str(minutes))
