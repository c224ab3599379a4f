"""Preflight: what apply and run would fail on at the source, with the statement that removes it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dstream_postgres.database import rows
from dstream_postgres.names import Table, quote
from dstream_postgres.settings import InputSettings
from dstream_sdk import Finding

_SERVER = (
    "SELECT current_user, current_database(), current_setting('server_version_num')::int,"
    " current_setting('wal_level'), current_setting('max_replication_slots')::int,"
    " (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::int,"
    " (SELECT count(*) FROM pg_stat_replication), r.rolsuper,"
    " r.rolreplication OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication'"
    "  AND pg_has_role(g.oid, 'MEMBER')), has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery()"
    " FROM pg_roles r WHERE r.rolname = current_user"
)
_ACCESS = (
    "SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE'),"
    " has_schema_privilege(n.oid, 'USAGE'),"
    " coalesce((SELECT bool_and(has_column_privilege(c.oid, a.attnum, 'SELECT')) FROM pg_attribute a"
    "  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), true)"
    " FROM unnest(%s::text[], %s::text[]) AS t(schema, name) JOIN pg_namespace n ON n.nspname = t.schema"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')"
)
_PUBLICATION = (
    "SELECT pg_get_userbyid(p.pubowner)::text, pg_has_role(p.pubowner, 'USAGE') FROM pg_publication p"
    " WHERE p.pubname = %s"
)
_SPARE_SLOTS = "SELECT slot_name::text FROM pg_replication_slots WHERE NOT active ORDER BY 1 LIMIT 5"
_DYNAMIC_WAL_LEVEL = 190000
"""From this version on, the server raises the level itself when a logical slot is created."""
_URL = "config.connection_string"


class Server(NamedTuple):
    """The server, and what the role of the connection string may do there."""

    role: str
    database: str
    version: int
    wal_level: str
    slots_allowed: int
    slots: int
    senders_allowed: int
    senders: int
    superuser: bool
    replication: bool
    may_create: bool
    standby: bool

    @property
    def replicates(self) -> bool:
        """Whether the role can read a slot at all."""
        return self.superuser or self.replication


class Access(NamedTuple):
    """What the role may do with one table."""

    owner: str
    owned: bool
    schema_usage: bool
    select: bool


def read_server(connection: Any) -> Server:
    """The server as it is now. Raises psycopg2.Error."""
    return Server(*rows(connection, _SERVER)[0])


def read_access(connection: Any, tables: Sequence[Table]) -> dict[Table, Access]:
    """The privileges on the tables that exist. Raises psycopg2.Error."""
    found = rows(connection, _ACCESS, ([table.schema for table in tables], [table.name for table in tables]))
    return {Table(schema, name): Access(*rest) for schema, name, *rest in found}


def server_findings(connection: Any, config: InputSettings, server: Server, *, has_slot: bool) -> Iterator[Finding]:
    """Settings of the server, and the attribute of the role. Raises psycopg2.Error."""
    if server.wal_level != "logical" and server.version < _DYNAMIC_WAL_LEVEL:
        yield Finding(
            "Logical replication is off",
            f"wal_level is {server.wal_level}: the log does not have what an input reads.",
            "ALTER SYSTEM SET wal_level = logical; then restart the server",
            _URL,
        )
    if not server.replicates:
        yield Finding(
            "Role without REPLICATION",
            f"the role {server.role} may not create or read a replication slot. Amazon RDS grants that with the role "
            "rds_replication.",
            f"ALTER ROLE {quote(server.role)} REPLICATION;",
            _URL,
        )
    if not has_slot and config.manage and server.slots >= server.slots_allowed:
        spare = [name for (name,) in rows(connection, _SPARE_SLOTS)]
        unread = f"; these are read by no one now: {', '.join(spare)}" if spare else ""
        yield Finding(
            "No free replication slot",
            f"the server has {server.slots} slots, and max_replication_slots is {server.slots_allowed}{unread}.",
            f"ALTER SYSTEM SET max_replication_slots = {server.slots + 5}; then restart the server",
            _URL,
        )
    if server.senders >= server.senders_allowed:
        yield Finding(
            "No free WAL sender",
            f"{server.senders} connections replicate, and max_wal_senders is {server.senders_allowed}.",
            f"ALTER SYSTEM SET max_wal_senders = {server.senders + 5}; then restart the server",
            _URL,
            certain=server.senders_allowed == 0,
        )


def privilege_findings(
    connection: Any,
    config: InputSettings,
    server: Server,
    publication: str,
    access: Mapping[Table, Access],
    *,
    published: frozenset[Table],
    unread: frozenset[Table],
) -> Iterator[Finding]:
    """Privileges on database and tables. `published` are in the publication, `unread` are to be read as a snapshot.

    Raises psycopg2.Error.
    """
    role = quote(server.role)
    for table, one in access.items():
        if not (one.select and one.schema_usage) and (table in unread or config.on_gap == "snapshot"):
            usage = "" if one.schema_usage else f"GRANT USAGE ON SCHEMA {quote(table.schema)} TO {role}; "
            yield Finding(
                "No SELECT on a table",
                f"the role {server.role} may not read the rows of {table}, which a snapshot does.",
                f"{usage}GRANT SELECT ON {table.sql} TO {role};",
                "config.tables",
                certain=table in unread,
            )
    if not config.manage or server.superuser:
        return
    found = rows(connection, _PUBLICATION, (publication,))
    if not found and not server.may_create:
        yield Finding(
            "No CREATE on the database",
            f"the role {server.role} may not create the publication {publication}.",
            f"GRANT CREATE ON DATABASE {quote(server.database)} TO {role};",
            _URL,
        )
    changes = bool(access.keys() - published) or bool(found and published - access.keys())
    if found and not found[0][1] and changes:
        yield Finding(
            "Publication of another owner",
            f"the role {server.role} may not change the publication {publication} of {found[0][0]}.",
            f"ALTER PUBLICATION {quote(publication)} OWNER TO {role};",
            "config.tables",
        )
    for table, one in access.items():
        if not one.owned and (table not in published or config.replica_identity):
            yield Finding(
                "Table of another owner",
                f"only the owner of {table}, {one.owner}, may publish it or set its replica identity.",
                f"GRANT {quote(one.owner)} TO {role};",
                "config.tables",
            )


def given_findings(connection: Any, config: InputSettings, task: str, tables: Sequence[Table]) -> Iterator[Finding]:
    """Slot and publication that the task expects to find (`manage = false`). Raises psycopg2.Error."""
    if config.manage:
        return
    slot, publication = config.slot_name(task), config.publication_name(task)
    if not rows(connection, _PUBLICATION, (publication,)):
        listed = ", ".join(table.sql for table in tables)
        yield Finding(
            "No publication",
            f"the publication {publication} does not exist, and manage is false.",
            f"CREATE PUBLICATION {quote(publication)} FOR TABLE {listed};",
            "config.publication",
        )
    if not rows(connection, "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", (slot,)):
        yield Finding(
            "No replication slot",
            f"the slot {slot} does not exist, and manage is false.",
            f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');",
            "config.slot",
        )
