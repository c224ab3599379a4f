"""Planning: which CDC a task needs on the server, and the streams that its tables become."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from dstream_mssql.capture_instances import captures_of, instance_name, key_of
from dstream_mssql.catalog import Catalog, check_key, json_schema, look
from dstream_mssql.database import connect, target_of
from dstream_mssql.names import Pattern, Table
from dstream_mssql.resources.marker import Made, read_markers
from dstream_mssql.retry import patiently
from dstream_mssql.selection import parse_list
from dstream_mssql.settings import InputSettings
from dstream_sdk import InvalidError, Notice, Released, Resource, Stream

_PATIENCE = 15.0
"""Seconds for which a plan repeats what is transient: its answer is due within 30."""
CDC_DATABASE, CDC_TABLE = "mssql_cdc_database", "mssql_cdc_table"


def discovered(
    config: InputSettings, patterns: Sequence[Pattern], keys: Mapping[tuple[str, str], tuple[str, ...]]
) -> Iterable[Resource | Stream | Released | Notice]:
    """Resources and streams of the tables that the server has, and what is to be said of them. Raises ProviderError.

    CDC that another user enabled is used unchanged and stays out of the plan, so that `destroy` leaves it alone.
    """
    target = target_of(config.connection_string)

    def seen() -> tuple[Catalog, Made]:
        database = connect(target)
        try:
            return look(database), read_markers(database)
        finally:
            database.close()

    catalog, made = patiently(seen, _PATIENCE, _slept, unreachable=False)
    if missing := catalog.missing(patterns):
        raise InvalidError(
            "Table not found",
            f"the database {catalog.database} has no table {', '.join(missing)}, or this login cannot see it. A name "
            "without a schema means dbo.",
            path="config.tables",
        )
    sources = catalog.chosen(patterns, parse_list(config.exclude, "exclude"))
    found = [(source.table, captures_of(source, catalog, made, config)) for source in sources]
    if config.manage:
        pairs = [(table, number) for table, captures in found for number in captures.numbers]
        yield from needed(config, catalog.database, pairs, database=not catalog.cdc or made.database)
    for table, captures in found:
        yield from (Released(CDC_TABLE, key_of(table, number)) for number in captures.released)
        if captures.notice is not None:
            yield captures.notice
    for source in sources:
        key = source.key(keys.get(source.table.folded, ()))
        check_key(source, key)
        yield Stream(str(source.table), key, json_schema(source.columns, strings=config.values == "string"))


def needed(
    config: InputSettings, name: str, tables: Sequence[tuple[Table, int]], *, database: bool = True
) -> Iterable[Resource]:
    """CDC of the database, and capture instances of tables by their numbers."""
    before = []
    if database:
        attributes: dict[str, object] = {"database": name}
        if config.retention:
            attributes["retention_minutes"] = max(1, round(config.retention / 60))
        yield Resource(CDC_DATABASE, name, attributes)
        before.append((CDC_DATABASE, name))
    for table, number in tables:
        form = {"table": table.full, "capture_instance": instance_name(table, number)}
        if config.role_name:
            form["role_name"] = config.role_name
        yield Resource(CDC_TABLE, key_of(table, number), form, depends_on=before)


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False
