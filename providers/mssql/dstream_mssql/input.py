"""The input: what a task needs and delivers, and the way into a session."""

from __future__ import annotations

from collections.abc import Iterable

from dstream_mssql.selection import keys_of, patterns_of
from dstream_mssql.settings import InputSettings
from dstream_sdk import Input, InputSession, InvalidError, Notice, PlanContext, Released, Resource, Stream


class SqlServerInput(Input[InputSettings]):
    """Change data of SQL Server tables, out of their change tables."""

    discovers = True
    preloads = ("dstream_mssql.session", "dstream_mssql.tls", "pytds")

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream | Released | Notice]:
        """CDC of the database and the tables, where it is missing or was enabled by us; a stream per table."""
        patterns = patterns_of(config)
        keys = keys_of(config)
        if config.discover:
            from dstream_mssql.planning import discovered

            yield from discovered(config, patterns, keys)
            return
        if not patterns or any(pattern.wild for pattern in patterns):
            raise InvalidError(
                "Invalid setting",
                "config.discover: patterns, and an empty `tables`, can only be planned by asking the server; name the "
                "tables, or leave `discover` as it is",
                path="config.discover",
            )
        from dstream_mssql.database import target_of
        from dstream_mssql.planning import needed

        tables = [pattern.table for pattern in patterns]
        if config.manage:
            instances = [(table, 1) for table in tables]
            yield from needed(config, target_of(config.connection_string).database, instances)
        for table in tables:
            yield Stream(str(table), tuple(keys.get(table.folded, ())))

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Connect, look at the database, and decide where to go on."""
        from dstream_mssql.session import Session

        self._session = Session(config, session)
        self._session.prepare()

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read what is missing of the tables' rows, then follow the change tables."""
        self._session.run()
