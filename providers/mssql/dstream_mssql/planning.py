"""Planning: the CDC resources that a task requires, and the streams of its tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from dstream_mssql.capture_instances import instance_name, key_of, plan_captures
from dstream_mssql.catalog import Catalog, check_key, json_schema, read_catalog
from dstream_mssql.database import connect, target_of
from dstream_mssql.names import Pattern, Table
from dstream_mssql.resources.marker import Markers, read_markers
from dstream_mssql.retry import retry_transient
from dstream_mssql.selection import parse_list
from dstream_mssql.settings import InputSettings
from dstream_sdk import InvalidError, Notice, Released, Resource, Stream

_RETRY_SECONDS = 15.0
"""How long a plan retries transient errors. Its answer is due within 30 seconds."""
CDC_DATABASE, CDC_TABLE = "mssql_cdc_database", "mssql_cdc_table"


def discovered_resources(
    config: InputSettings, patterns: Sequence[Pattern], keys: Mapping[tuple[str, str], tuple[str, ...]]
) -> Iterable[Resource | Stream | Released | Notice]:
    """Yield resources, streams and notices for the tables on the server. Raises ProviderError.

    CDC that another user enabled is used unchanged and is not part of the plan, so `destroy` does not disable it.
    """
    target = target_of(config.connection_string)

    def read() -> tuple[Catalog, Markers]:
        database = connect(target)
        try:
            return read_catalog(database), read_markers(database)
        finally:
            database.close()

    catalog, made = retry_transient(read, _RETRY_SECONDS, _sleep, unreachable=False)
    if missing := catalog.missing(patterns):
        raise InvalidError(
            "Table not found",
            f"the database {catalog.database} has no table {', '.join(missing)}, or this login cannot see it. A name "
            "without a schema means dbo.",
            path="config.tables",
        )
    sources = catalog.selected(patterns, parse_list(config.exclude, "exclude"))
    found = [(source.table, plan_captures(source, catalog, made, config)) for source in sources]
    if config.manage:
        pairs = [(table, number) for table, captures in found for number in captures.numbers]
        yield from cdc_resources(config, catalog.database, pairs, database=not catalog.cdc or made.database)
    for table, captures in found:
        yield from (Released(CDC_TABLE, key_of(table, number)) for number in captures.released)
        if captures.notice is not None:
            yield captures.notice
    for source in sources:
        key = source.key(keys.get(source.table.folded, ()))
        check_key(source, key)
        yield Stream(str(source.table), key, json_schema(source.columns, strings=config.values == "string"))


def cdc_resources(
    config: InputSettings, name: str, tables: Sequence[tuple[Table, int]], *, database: bool = True
) -> Iterable[Resource]:
    """Yield CDC of the database, and the capture instances of tables by number."""
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


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
