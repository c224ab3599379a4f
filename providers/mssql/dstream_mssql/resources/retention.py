"""Retention: how long change tables keep changes, which is a setting of the cleanup job.

The job comes with the first table that is captured; before, `sp_cdc_change_job` fails (errors 22993 and 22997). So a
retention that is wanted earlier is noted at the database, and given to the job by the table.
"""

from __future__ import annotations

from dstream_mssql.catalog import retention_of
from dstream_mssql.database import Database
from dstream_mssql.errors import number_of
from dstream_mssql.resources.marker import note_retention, read_markers
from dstream_sdk import DeniedError, InvalidError

CHANGE = "EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = @P1"
_NO_JOB = (22993, 22997)


def want_retention(database: Database, minutes: int | None) -> None:
    """Set the retention, or note it if there is no job yet; None leaves it alone. Raises ProviderError."""
    if minutes is None:
        return
    try:
        found = retention_of(database)
    except DeniedError:
        found = _change_unseen(database, minutes)
    if found is None:
        note_retention(database, minutes)
    elif found != minutes:
        database.run("change the retention", CHANGE, minutes)


def _change_unseen(database: Database, minutes: int) -> int | None:
    """Change a job that this login may not look at; None if there is none."""
    try:
        database.run("change the retention", CHANGE, minutes)
    except InvalidError as problem:
        if number_of(problem) in _NO_JOB:
            return None
        raise
    return minutes


def set_noted_retention(database: Database) -> None:
    """Give the job, which exists now, the retention that was noted for it, if one was. Raises ProviderError."""
    minutes = read_markers(database).retention
    if minutes is not None:
        database.run("change the retention", CHANGE, minutes)
        note_retention(database, None)


def current_retention(database: Database) -> int | None:
    """The retention, noted or set; None if this login may not ask. Raises ProviderError."""
    noted = read_markers(database).retention
    if noted is not None:
        return noted
    try:
        return retention_of(database)
    except DeniedError:
        return None
