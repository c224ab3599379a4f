"""Survey: the queries of `plan` about the tables of a task. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.catalog import primary_key
from dstream_postgres.columns import attributes_of, columns_of
from dstream_postgres.database import connect, error_of, rows
from dstream_postgres.identity import HOLDERS, IDENTIFIED
from dstream_postgres.names import Table
from dstream_sdk import Column

_CONNECT_SECONDS = 5

_TABLES = (
    "SELECT n.nspname, c.relname, c.oid::bigint, row_security_active(c.oid),"  # noqa: S608 - made of constants
    " parts.tuples, parts.bytes, parts.identified, parts.keyed, coalesce(children.names, '{}')"
    " FROM unnest(%s::text[], %s::text[]) AS t(schema, name)"
    " JOIN pg_namespace n ON n.nspname = t.schema"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name AND c.relkind IN ('r', 'p')"
    " CROSS JOIN LATERAL ("
    "  SELECT CASE WHEN bool_or(p.reltuples < 0) THEN NULL ELSE coalesce(sum(p.reltuples), 0) END::bigint AS tuples,"
    f"  coalesce(sum(pg_table_size(p.oid)), 0)::bigint AS bytes, coalesce(bool_and({IDENTIFIED}), true) AS identified,"
    "  coalesce(bool_and(EXISTS (SELECT FROM pg_index x WHERE x.indrelid = p.oid AND x.indisprimary)), true) AS keyed"
    f"  FROM {HOLDERS}) parts"
    " CROSS JOIN LATERAL ("
    "  SELECT array_agg(format('%%s.%%s', m.nspname, k.relname) ORDER BY m.nspname, k.relname) AS names"
    "  FROM pg_inherits h JOIN pg_class k ON k.oid = h.inhrelid JOIN pg_namespace m ON m.oid = k.relnamespace"
    "  WHERE h.inhparent = c.oid AND c.relkind = 'r') children"
)
_PUBLISHED = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s"
_SLOT = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A table as it is at the source."""

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int | None
    """By the server's statistics; None if it has none."""
    size: int
    """In bytes."""
    identified: bool
    """Whether its log records name the row that an update or delete concerns."""
    keyed: bool
    """Whether it has a primary key."""
    hidden: bool
    """Whether row-level security applies to the role of the connection string."""
    children: tuple[str, ...]
    """Tables that inherit from it, but for partitions."""
    followed: bool
    """Whether slot and publication carry it already."""


def survey(dsn: str, tables: Sequence[Table], publication: str, slot: str) -> Mapping[Table, Surveyed]:
    """The tables that exist. Raises ProviderError if the source cannot be asked."""
    import psycopg2

    connection = connect(dsn, connect_timeout=_CONNECT_SECONDS)
    try:
        return look_at(connection, tables, publication, slot)
    except psycopg2.Error as problem:
        raise error_of(problem, "look at the tables", dsn) from None
    finally:
        connection.close()


def look_at(connection: Any, tables: Sequence[Table], publication: str, slot: str) -> Mapping[Table, Surveyed]:
    """The tables that exist. Raises psycopg2.Error."""
    published = {Table(*row) for row in rows(connection, _PUBLISHED, (publication,))}
    if not rows(connection, _SLOT, (slot,)):
        published = set()
    out = {}
    found = rows(connection, _TABLES, ([table.schema for table in tables], [table.name for table in tables]))
    for schema, name, relation, hidden, tuples, size, identified, keyed, children in found:
        table = Table(schema, name)
        out[table] = Surveyed(
            key=primary_key(connection, relation),
            columns=columns_of(connection, attributes_of(connection, relation)),
            rows=tuples,
            size=size,
            identified=identified,
            keyed=keyed,
            hidden=hidden,
            children=tuple(children),
            followed=table in published,
        )
    return out
