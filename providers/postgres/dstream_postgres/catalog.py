"""Catalog: the columns and keys of tables as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.encoder import Column
from dstream_postgres.names import Table
from dstream_sdk import InvalidError

_FIRST_USER_OID = 16384


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns that the publication sends, the key, and the declared types of all columns."""

    columns: tuple[Column, ...]
    type_oids: tuple[int, ...]
    """The columns' own types, before domains are resolved."""
    key: tuple[str, ...]


def shape_of(
    connection: Any, table: Table, key: Sequence[str] = (), published: Sequence[str] | None = None
) -> TableShape:
    """The shape of a table: of its `published` columns, by default all that are not generated. `key` overrules the
    primary key, then the replica identity's index. InvalidError if the table or a key column does not exist."""
    found = rows(
        connection,
        "SELECT a.attname, a.atttypid::bigint FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
        " AND CASE WHEN %s::text[] IS NULL THEN a.attgenerated = '' ELSE a.attname = ANY (%s::text[]) END"
        " ORDER BY a.attnum",
        (table.schema, table.name, *[None if published is None else list(published)] * 2),
    )
    if not found:
        raise InvalidError("No such table", f"the table {table} does not exist, or has no columns")
    names = [name for name, _ in found]
    missing = [name for name in key if name not in names]
    if missing:
        raise InvalidError(
            "No such column", f"the table {table} has no column {', '.join(missing)}", path="config.keys"
        )
    bases = base_types(connection, [oid for _, oid in found])
    return TableShape(
        columns=tuple(Column(name, bases[oid]) for name, oid in found),
        type_oids=tuple(oid for _, oid in found),
        key=tuple(key) or primary_key(connection, table),
    )


def primary_key(connection: Any, table: Table) -> tuple[str, ...]:
    """Columns of the primary key in its order, else of the replica identity's index, else none."""
    found = rows(
        connection,
        "SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum"
        " WHERE n.nspname = %s AND c.relname = %s AND i.indexrelid ="
        " (SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = c.oid AND (x.indisprimary OR x.indisreplident)"
        " ORDER BY x.indisprimary DESC LIMIT 1) AND k.at <= i.indnkeyatts ORDER BY k.at",
        (table.schema, table.name),
    )
    return tuple(name for (name,) in found)


def base_types(connection: Any, type_oids: Sequence[int]) -> Mapping[int, int]:
    """For each type its own oid, or for a domain that of the type below all domains."""
    out = {oid: oid for oid in type_oids}
    for oid in out:
        if oid >= _FIRST_USER_OID:
            found = rows(
                connection,
                "WITH RECURSIVE t(oid, base) AS (SELECT oid, typbasetype FROM pg_type WHERE oid = %s UNION ALL"
                " SELECT p.oid, p.typbasetype FROM pg_type p JOIN t ON p.oid = t.base)"
                " SELECT oid::bigint FROM t WHERE base = 0",
                (oid,),
            )
            if found:
                out[oid] = found[0][0]
    return out
