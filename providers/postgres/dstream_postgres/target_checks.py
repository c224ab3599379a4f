"""Target checks: what writing to the target would fail on, and how its tables differ from the source's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dstream_postgres.column_types import widens
from dstream_postgres.database import rows
from dstream_postgres.names import Table, quote
from dstream_postgres.settings import OutputSettings
from dstream_postgres.target import Target, TargetTable
from dstream_sdk import Consequence, Finding, PlanContext, ProviderError, Stream

_ROLE = (
    "SELECT current_user, current_database(), rolsuper, current_setting('server_version_num')::int"
    " FROM pg_roles WHERE rolname = current_user"
)
_SCHEMA = "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s"
_PRIVILEGES = "SELECT p FROM unnest(%s::text[]) p WHERE NOT has_table_privilege(%s::regclass, p)"
_UNSET = (
    "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    " AND attnotnull AND NOT atthasdef AND attidentity = '' ORDER BY attnum"
)
_PARAMETERS_SINCE = 150000
"""From this version on, a role can be granted the right to set a parameter."""

Reported = Iterator[Consequence | Finding]


def target_consequences(connection: Any, config: OutputSettings, checkpoints: Table, context: PlanContext) -> Reported:
    """What happens in the target, and what writing to it would fail on. Raises psycopg2.Error."""
    ((role, database, superuser, version),) = rows(connection, _ROLE)
    target = Target(connection, config, context.streams)
    if not superuser:
        yield from _checkpoint_findings(connection, checkpoints, role)
        yield from _setting_findings(connection, config, role, version)
    for stream in context.streams:
        try:
            table, found = target.existing(stream.name)
        except ProviderError as problem:  # row-level security, or a name that is none
            yield Finding(problem.summary, problem.detail, path=problem.path)
            continue
        if found is None:
            yield from _missing(connection, config, stream, table, role, database)
            continue
        needed = ["SELECT", "INSERT", "UPDATE", *(["DELETE"] if config.deletes == "apply" else [])]
        summary, where = "No privilege on a table", f"{table} of the target"
        yield from _privileges(connection, table, role, needed, summary, where, "config.connection_string")
        yield from _columns(connection, config, target, stream, found)


def _privileges(
    connection: Any, table: Table, role: str, needed: list[str], summary: str, where: str, path: str
) -> Iterator[Finding]:
    """Yield a finding with the statement that grants what `role` lacks of the needed privileges on a table."""
    lacking = ", ".join(name for (name,) in rows(connection, _PRIVILEGES, (needed, table.sql)))
    if lacking:
        grant = f"GRANT {lacking} ON {table.sql} TO {quote(role)};"
        yield Finding(summary, f"the role {role} has no {lacking} on {where}.", grant, path)


def _checkpoint_findings(connection: Any, checkpoints: Table, role: str) -> Iterator[Finding]:
    if rows(connection, "SELECT to_regclass(%s) IS NOT NULL", (checkpoints.sql,))[0][0]:
        needed = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        summary = "No privilege on the checkpoint table"
        yield from _privileges(
            connection, checkpoints, role, needed, summary, str(checkpoints), "config.checkpoint_table"
        )
        return
    found = rows(connection, _SCHEMA, (checkpoints.schema,))
    if not found or not found[0][0]:
        create = "" if found else f"CREATE SCHEMA {quote(checkpoints.schema)}; "
        yield Finding(
            "Checkpoint table cannot be created",
            f"the role {role} may not create {checkpoints}.",
            f"{create}GRANT USAGE, CREATE ON SCHEMA {quote(checkpoints.schema)} TO {quote(role)};",
            "config.checkpoint_table",
        )


def _setting_findings(connection: Any, config: OutputSettings, role: str, version: int) -> Iterator[Finding]:
    name = "session_replication_role"
    if config.session_replication_role == "origin":
        return
    if version >= _PARAMETERS_SINCE and rows(connection, "SELECT has_parameter_privilege(%s, 'SET')", (name,))[0][0]:
        return
    fix = f"GRANT SET ON PARAMETER {name} TO {quote(role)};"
    yield Finding(
        "Parameter cannot be set",
        f"the role {role} may not set {name}.",
        fix if version >= _PARAMETERS_SINCE else f'{name} = "origin", or a superuser',
        f"config.{name}",
    )


def _missing(
    connection: Any, config: OutputSettings, stream: Stream, table: Table, role: str, database: str
) -> Reported:
    if not config.create_tables:
        yield Finding(
            "No such table",
            f"the target has no table {table} for {stream.name}, or the role {role} may not use its schema.",
            "create it, or set create_tables = true",
            "config.create_tables",
            certain=False,
        )
        return
    found = rows(connection, _SCHEMA, (table.schema,))
    what = f"ON SCHEMA {quote(table.schema)}" if found else f"ON DATABASE {quote(database)}"
    may = found or rows(connection, "SELECT has_database_privilege(current_database(), 'CREATE')")
    if not may[0][0]:
        yield Finding(
            "No CREATE in the target",
            f"the role {role} may not create {table} for {stream.name}.",
            f"GRANT CREATE {what} TO {quote(role)};",
            "config.create_tables",
        )
        return
    yield Consequence("schema", f"the table {table} is created in the target", stream=stream.name)


def _columns(connection: Any, config: OutputSettings, target: Target, stream: Stream, found: TargetTable) -> Reported:
    """Columns that differ. An input that does not know its columns says nothing about them."""
    sent = {column.name: column for column in stream.columns}
    if not sent:
        return
    table, changes = found.table, config.create_tables and found.kind == "r"
    for name, column in sent.items():
        if name not in found.columns:
            fix = f"ALTER TABLE {table.sql} ADD COLUMN {quote(name)} {target.type_of(column)};"
            if config.create_tables:
                yield Consequence("schema", f"{table} of the target gets the column {name}", stream=stream.name)
            else:
                text = f"{table} of the target has no column {name}: the task ends at the first row"
                yield Consequence("schema", text, "breaking", stream=stream.name, fix=fix)
            continue
        present, required = found.columns[name].full_type, target.type_of(column)
        if not widens(present, required):
            continue
        text = f"{table}.{name} of the target is {present}, and the source has {required}"
        if changes:
            yield Consequence("schema", f"{text}: it is widened", stream=stream.name)
        else:
            detail = "Rows with a value that does not fit become dead letters."
            fix = f"ALTER TABLE {table.sql} ALTER COLUMN {quote(name)} TYPE {required};"
            yield Consequence("schema", text, "breaking", detail, stream.name, fix=fix)
    for (name,) in rows(connection, _UNSET, (table.sql,)):
        if name not in sent and not changes:
            text = f"{table} of the target requires the column {name}, which the source does not have"
            fix = f"ALTER TABLE {table.sql} ALTER COLUMN {quote(name)} DROP NOT NULL;"
            yield Consequence("schema", text, "breaking", "New rows become dead letters.", stream.name, fix=fix)
    for name in sorted(found.columns.keys() - sent.keys()):
        if not found.columns[name].required and not found.columns[name].generated:
            text = f"{table}.{name} of the target is not written: the source does not have it"
            yield Consequence("schema", text, "forward-only", "What it holds stays.", stream.name)
