"""Health checks: warn about a capture agent that has stopped, and about cleanup that will remove unread changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dstream_mssql import statements
from dstream_mssql.catalog import retention_of
from dstream_mssql.database import Database
from dstream_mssql.lsn import to_bytes
from dstream_mssql.settings import InputSettings
from dstream_sdk import ProviderError, RetriableError, log
from dstream_sdk.durations import describe_duration

_CHECK_SECONDS, _WARNING_SECONDS = 60.0, 3600.0


class HealthChecks:
    """Runs the checks periodically. Each warning is logged at most once an hour."""

    def __init__(self, config: InputSettings) -> None:
        self._agent_timeout = config.agent_timeout
        self._fail = config.on_agent_stop == "fail"
        self._warning = config.retention_warning
        self._due = 0.0
        self._warned_at: dict[str, float] = {}
        self._refused: set[str] = set()
        self._interval = min(_CHECK_SECONDS, max(1.0, self._agent_timeout / 4))

    def run(self, database: Database, oldest: int | None) -> None:
        """Run the checks if they are due. `oldest` is the LSN of the table that is farthest behind.

        Raises ProviderError if the agent has stopped and `on_agent_stop` is "fail".
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._interval
        self._agent(database, now)
        if oldest is not None:
            self._retention(database, oldest, now)

    def _agent(self, database: Database, now: float) -> None:
        age = self._ask("the capture agent's newest entry", lambda: _one(database, statements.AGENT_AGE))
        if age is None or age < self._agent_timeout:
            self._warned_at.pop("agent", None)
            return
        last = self._ask("the capture agent's errors", lambda: _one(database, statements.CAPTURE_ERRORS))
        scanned = self._ask("the scans of the log", lambda: _one(database, statements.SCAN_AGE))
        detail = (
            f"the capture agent has written nothing for {describe_duration(age)}; it writes an entry every few minutes "
            f"even without changes. Changes are not being captured. {self._remedy(database)}"
            + (f" It read the log {describe_duration(scanned)} ago." if scanned is not None else "")
            + (f" Its last error: {last}" if last else "")
        )
        if self._fail:
            raise ProviderError("The capture agent has stopped", detail)
        self._warn("agent", detail, now)

    def _remedy(self, database: Database) -> str:
        if database.in_azure:
            return (
                "In Azure SQL Database a scheduler captures them: see sys.dm_cdc_errors and "
                "sys.dm_cdc_log_scan_sessions, and resume a serverless database that is paused; to capture now: "
                "EXEC sys.sp_cdc_scan."
            )
        return (
            f"Start SQL Server Agent and its job cdc.{database.name}_capture (sys.sp_cdc_start_job). After a failover "
            "to a replica that has no jobs, create them: EXEC sys.sp_cdc_add_job @job_type = N'capture'."
        )

    def _retention(self, database: Database, oldest: int, now: float) -> None:
        age = self._ask("the age of the oldest change", lambda: _one(database, statements.LSN_AGE, to_bytes(oldest)))
        minutes = self._ask("the retention", lambda: retention_of(database))
        if age is None or minutes is None:
            return
        left = minutes * 60 - age
        if left >= min(self._warning, minutes * 30):
            return
        self._warn(
            "retention",
            f"the oldest unread change is {describe_duration(age)} old, and cleanup removes changes after "
            f"{describe_duration(minutes * 60)}: {describe_duration(max(left, 0))} left. Let the task catch up, or "
            "increase the retention: EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = MINUTES",
            now,
        )

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:
        """Return the result of a query, or None if the server does not provide it. Raises RetriableError.

        A check that is not possible is logged once and then skipped; the data does not depend on it.
        """
        if what in self._refused:
            return None
        try:
            return question()
        except RetriableError:
            raise
        except ProviderError as problem:
            self._refused.add(what)
            log(f"no safety check of {what}: {problem.detail}")
            return None

    def _warn(self, about: str, text: str, now: float) -> None:
        if now - self._warned_at.get(about, -_WARNING_SECONDS) >= _WARNING_SECONDS:
            self._warned_at[about] = now
            log(f"warning: {text}")


def _one(database: Database, sql: str, *parameters: Any) -> Any:
    """Return the single value of a statement, or None if it has no row."""
    found = database.rows(sql, *parameters)
    return found[0][0] if found else None
