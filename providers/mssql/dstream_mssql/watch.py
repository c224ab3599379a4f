"""Watch: what would go wrong in silence: a capture agent that stands still, and cleanup that comes near."""

from __future__ import annotations

import time
from typing import Any

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.lsn import to_bytes
from dstream_mssql.settings import InputSettings
from dstream_sdk import DeniedError, ProviderError, log
from dstream_sdk.durations import describe_duration

_BETWEEN_LOOKS, _BETWEEN_WARNINGS = 60.0, 3600.0


class Watch:
    """Looks now and then, and warns at most once an hour about the same."""

    def __init__(self, config: InputSettings) -> None:
        self._agent_timeout = config.agent_timeout
        self._fail = config.on_agent_stop == "fail"
        self._warning = config.retention_warning
        self._due = 0.0
        self._told: dict[str, float] = {}
        self._denied: set[str] = set()
        self._between = min(_BETWEEN_LOOKS, max(1.0, self._agent_timeout / 4))

    def look(self, database: Database, oldest: int | None) -> None:
        """Look, if that is due. `oldest` is the LSN from which the table that is farthest behind reads on.

        Raises ProviderError if the agent stands still and that is to fail.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + self._between
        self._agent(database, now)
        if oldest is not None:
            self._retention(database, oldest, now)

    def _agent(self, database: Database, now: float) -> None:
        age = self._ask(database, statements.AGENT_AGE)
        if age is None or age < self._agent_timeout:
            self._told.pop("agent", None)
            return
        last = self._ask(database, statements.CAPTURE_ERRORS)
        detail = (
            f"the capture agent wrote nothing for {describe_duration(age)}; it writes an entry every few minutes even "
            "without changes. Changes are not being captured. Start SQL Server Agent and its job "
            f"cdc.{database.name}_capture (sys.sp_cdc_start_job); in Azure SQL see sys.dm_cdc_errors."
            + (f" Its last error: {last}" if last else "")
        )
        if self._fail:
            raise ProviderError("The capture agent has stopped", detail)
        self._tell("agent", detail, now)

    def _retention(self, database: Database, oldest: int, now: float) -> None:
        age = self._ask(database, statements.LSN_AGE, to_bytes(oldest))
        minutes = self._ask(database, statements.RETENTION)
        if age is None or minutes is None:
            return
        left = minutes * 60 - age
        if left >= min(self._warning, minutes * 30):
            return
        self._tell(
            "retention",
            f"the oldest unread change is {describe_duration(age)} old, and cleanup removes changes after "
            f"{describe_duration(minutes * 60)}: {describe_duration(max(left, 0))} left. Let the task catch up, or "
            "increase the retention: EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = MINUTES",
            now,
        )

    def _ask(self, database: Database, sql: str, *parameters: Any) -> Any:
        """One value, None if there is none or it may not be asked."""
        if sql in self._denied:
            return None
        try:
            found = database.rows(sql, *parameters)
        except DeniedError as problem:
            self._denied.add(sql)
            log(f"no permission for a safety check: {problem.detail}")
            return None
        return found[0][0] if found else None

    def _tell(self, about: str, text: str, now: float) -> None:
        if now - self._told.get(about, -_BETWEEN_WARNINGS) >= _BETWEEN_WARNINGS:
            self._told[about] = now
            log(f"warning: {text}")
