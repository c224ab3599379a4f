"""Consequences: where each table continues, what is read again, how long its changes are kept, and what would fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from dstream_mssql import statements
from dstream_mssql.capture_instances import instance_name
from dstream_mssql.catalog import Catalog, Source, read_catalog, retention_of
from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.lsn import from_bytes, to_bytes, to_hex
from dstream_mssql.names import literal, quote
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.reader import Gap
from dstream_mssql.resume import database_gap, resume_position
from dstream_mssql.selection import parse_list, patterns_of
from dstream_mssql.settings import InputSettings
from dstream_mssql.start_setting import start_of
from dstream_sdk import Consequence, DeniedError, Finding, InvalidError, PlanContext
from dstream_sdk.durations import describe_duration

_HOUR = 3600
_PAGE = 8192
"""Bytes of a page of SQL Server."""
_URL = "config.connection_string"

Reported = Iterator[Consequence | Finding]


def consequences(config: InputSettings, context: PlanContext) -> Reported:
    """Report on the selected tables. Raises ProviderError."""
    with closing(connect(target_of(config.connection_string))) as database:
        catalog = read_catalog(database)
        sources = catalog.selected(patterns_of(config), parse_list(config.exclude, "exclude"))
        yield from _privileges(database, catalog, sources, config)
        stored = context.prior.checkpoint
        position = None if stored is None or start_of(stored) is not None else Position.from_json(stored)
        sizes = _sizes(database)
        if catalog.cdc:
            yield from _agent(database, config)
            captured = from_bytes(_one(database, statements.MAX_LSN))
            if position is not None:
                running = context.prior.running
                gap = None if running else database_gap(database, position, catalog, captured)
                yield from _resumption(config, context, position, sources, captured, sizes, gap)
                yield from _retention(database, config, position, sources)
        for source in sources:
            known = None if position is None else position.tables.get(source.table.full)
            if config.snapshot == "initial" and (known is None or (known.reading and not known.rows)):
                yield _rows("snapshot", source, sizes, "is read from the beginning")


def _privileges(
    database: Database, catalog: Catalog, sources: list[Source], config: InputSettings
) -> Iterator[Finding]:
    ((user, sysadmin, owner),) = database.rows(statements.MEMBERSHIP)
    enable = "EXEC sys.sp_cdc_enable_db"
    if not catalog.cdc and not config.manage:
        yield Finding("CDC is not enabled", f"CDC is off in {catalog.database}, and manage is false.", enable, _URL)
    elif not catalog.cdc and not (sysadmin or (database.in_azure and owner)):
        yield Finding(
            "Permission to enable CDC missing",
            f"{user} may not enable CDC in {catalog.database}: that requires sysadmin, or db_owner in Azure SQL.",
            f"{enable}, by a login that may; dstream then uses it unchanged",
            _URL,
        )
    for source in sources:
        schema, name = source.table.schema, source.table.name
        if not source.instances and not config.manage:
            yield Finding(
                "Table not captured",
                f"{source.table.full} has no capture instance, and manage is false.",
                f"EXEC sys.sp_cdc_enable_table @source_schema = {literal(schema)}, @source_name = {literal(name)}, "
                f"@role_name = NULL, @capture_instance = {literal(instance_name(source.table, 1))}",
                "config.tables",
            )
        elif not source.instances and not owner:
            yield Finding(
                "Permission to capture a table missing",
                f"{user} may not create a capture instance of {source.table.full}: that requires db_owner.",
                f"ALTER ROLE db_owner ADD MEMBER {quote(user)}",
                "config.tables",
            )
        if not _one(database, statements.MAY_SELECT, source.table.sql):
            yield Finding(
                "No SELECT on a table",
                f"{user} may not read {source.table.full}, which CDC and a snapshot require.",
                f"GRANT SELECT ON {source.table.sql} TO {quote(user)}",
                "config.tables",
            )
        for role in sorted({one.role for one in source.instances if one.role}):
            if not owner and not _one(database, statements.IN_ROLE, role):
                yield Finding(
                    "Not in the gating role",
                    f"{user} is not in the role {role}, which may read the changes of {source.table.full}.",
                    f"ALTER ROLE {quote(role)} ADD MEMBER {quote(user)}",
                    "config.tables",
                )


def _agent(database: Database, config: InputSettings) -> Iterator[Finding]:
    age = _one(database, statements.AGENT_AGE)
    if age is not None and age >= config.agent_timeout:
        yield Finding(
            "The capture agent has stopped",
            f"it has written nothing for {describe_duration(age)}: changes are not captured.",
            "EXEC sys.sp_cdc_scan, or resume the database"
            if database.in_azure
            else "start SQL Server Agent; EXEC sys.sp_cdc_start_job @job_type = N'capture'",
            _URL,
            certain=config.on_agent_stop == "fail",
        )


def _resumption(
    config: InputSettings,
    context: PlanContext,
    position: Position,
    sources: list[Source],
    captured: int,
    sizes: Mapping[int, tuple[int, int | None]],
    gap: str | None,
) -> Reported:
    fix = f'on_gap = "snapshot", which reads the tables again; or start over: dstream checkpoint reset {context.task}'
    if gap is not None and config.on_gap == "fail":
        yield Finding("Resume not possible", f"{gap}.", fix, "config.on_gap")
        return
    continues = 0
    for source in sources:
        stored = position.tables.get(source.table.full)
        if stored is None or not source.readable:
            continue
        try:
            found = stored if context.prior.running else resume_position(source, stored, captured, config)
        except Gap as problem:
            yield Finding("Resume not possible", problem.detail, fix, "config.on_gap")
            continue
        if gap is not None or (found.reading and not stored.reading):
            detail = f'{gap or "Cleanup removed changes, or CDC was enabled again"}. on_gap is "snapshot".'
            yield _rows("reread", source, sizes, "is emptied in the target and read again", detail)
        else:
            continues += 1
    if continues:
        age = context.prior.checkpoint_age
        hours = None if age is None else round(age / _HOUR, 2)
        yield Consequence("resume", f"reading continues after LSN {to_hex(position.lsn)}", hours=hours)


def _retention(database: Database, config: InputSettings, position: Position, sources: list[Source]) -> Reported:
    """How long the changes of each table that are not read yet are kept. The server may not tell: then nothing."""
    try:
        minutes = retention_of(database)
        if minutes is None:
            return
        for source in sources:
            stored: TablePosition | None = position.tables.get(source.table.full)
            age = None if stored is None else _one(database, statements.LSN_AGE, to_bytes(stored.first))
            if age is None:
                continue
            left = minutes * 60 - age
            short = left < min(config.retention_warning, minutes * 30)
            yield Consequence(
                "retention",
                f"the unread changes of {source.table.full} are kept",
                "breaking" if short else "non-breaking",
                f"The oldest is {describe_duration(age)} old, and cleanup removes changes after "
                f"{describe_duration(minutes * 60)}.",
                source.table.full,
                hours=round(max(0, left) / _HOUR, 2),
                fix="EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = MINUTES",
            )
    except (DeniedError, InvalidError):
        return


def _rows(
    kind: str, source: Source, sizes: Mapping[int, tuple[int, int | None]], text: str, detail: str = ""
) -> Consequence:
    rows, size = sizes.get(source.object_id, (None, None))
    name = source.table.full
    label: Any = "breaking" if kind == "reread" else "non-breaking"
    return Consequence(kind, f"{name} {text}", label, detail, name, rows, size)


def _sizes(database: Database) -> dict[int, tuple[int, int | None]]:
    """Return rows and bytes of each table, by its object id; bytes are None without VIEW DATABASE STATE."""
    try:
        found = database.rows(statements.ROWS_AND_PAGES)
    except (DeniedError, InvalidError):
        found = [(object_id, rows, None) for object_id, rows in database.rows(statements.ROWS)]
    out: dict[int, tuple[int, int | None]] = {}
    for object_id, rows, pages in found:
        before, size = out.get(object_id, (0, None if pages is None else 0))
        out[object_id] = (before + rows, None if size is None else size + pages * _PAGE)
    return out


def _one(database: Database, sql: str, *parameters: Any) -> Any:
    """Return the single value of a statement, or None if it has no row."""
    found = database.rows(sql, *parameters)
    return found[0][0] if found else None
