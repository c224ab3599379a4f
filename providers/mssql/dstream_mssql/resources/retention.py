"""Retention: how long change tables keep changes, which is a setting of the cleanup job.

The first captured table creates the job; before that, `sp_cdc_change_job` fails (errors 22993 and 22997). A retention
that is configured earlier is stored on the database, and applied when the table is captured.
"""

from __future__ import annotations

from dstream_mssql.catalog import retention_of
from dstream_mssql.database import Database
from dstream_mssql.errors import number_of
from dstream_mssql.resources.marker import read_markers, store_retention
from dstream_sdk import DeniedError, InvalidError

CHANGE = "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = @P1"
_NO_JOB = (22993, 22997)


def set_retention(database: Database, minutes: int | None) -> None:
    """Set the retention, or store it if there is no job yet; None changes nothing. Raises ProviderError."""
    if minutes is None:
        return
    try:
        found = retention_of(database)
    except DeniedError:
        found = _change_unread(database, minutes)
    if found is None:
        store_retention(database, minutes)
    elif found != minutes:
        database.run("change the retention", CHANGE, minutes)


def _change_unread(database: Database, minutes: int) -> int | None:
    """Change a job that this login may not read. Returns None if there is no job."""
    try:
        database.run("change the retention", CHANGE, minutes)
    except InvalidError as problem:
        if number_of(problem) in _NO_JOB:
            return None
        raise
    return minutes


def apply_stored_retention(database: Database) -> None:
    """Apply a stored retention to the job, which now exists. Raises ProviderError."""
    minutes = read_markers(database).retention
    if minutes is not None:
        database.run("change the retention", CHANGE, minutes)
        store_retention(database, None)


def current_retention(database: Database) -> int | None:
    """Return the stored or current retention, or None if this login may not read it. Raises ProviderError."""
    noted = read_markers(database).retention
    if noted is not None:
        return noted
    try:
        return retention_of(database)
    except DeniedError:
        return None
