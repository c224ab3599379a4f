"""The input: its plan (required resources and streams), and the start of a session."""

from __future__ import annotations

from collections.abc import Iterable

from dstream_mssql.selection import keys_of, patterns_of
from dstream_mssql.settings import InputSettings
from dstream_sdk import (
    Consequence,
    Finding,
    Input,
    InputSession,
    InvalidError,
    Notice,
    PlanContext,
    Released,
    Resource,
    Stream,
)


class SqlServerInput(Input[InputSettings]):
    """Reads the change tables of SQL Server tables."""

    discovers = True
    preloads = ("dstream_mssql.session", "dstream_mssql.tls", "pytds")

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream | Released | Notice]:
        """Yield a stream for each table, and CDC of the database and the tables unless another user enabled it."""
        patterns = patterns_of(config)
        keys = keys_of(config)
        if config.discover:
            from dstream_mssql.planning import discovered_resources

            yield from discovered_resources(config, patterns, keys)
            return
        if not patterns or any(pattern.wild for pattern in patterns):
            raise InvalidError(
                "Invalid setting",
                "config.discover: patterns, and an empty `tables`, can only be planned by querying the server; name "
                "the tables, or leave `discover` on",
                path="config.discover",
            )
        from dstream_mssql.database import target_of
        from dstream_mssql.planning import cdc_resources

        tables = [pattern.table for pattern in patterns]
        if config.manage:
            instances = [(table, 1) for table in tables]
            yield from cdc_resources(config, target_of(config.connection_string).database, instances)
        for table in tables:
            yield Stream(str(table), tuple(keys.get(table.folded, ())))

    def consequences(self, config: InputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Report where each table continues, how long its changes are kept, and what would fail; nothing if the server
        is not to be queried (`discover = false`)."""
        if config.discover:
            from dstream_mssql.consequences import consequences

            yield from consequences(config, context)

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Connect, read the catalog, and decide where each table resumes."""
        from dstream_mssql.session import Session

        self._session = Session(config, session)
        self._session.prepare()

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read the snapshots that are due, then follow the change tables."""
        self._session.run()
