"""Catalog: reads the present columns and keys of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.encoder import Column
from dstream_postgres.names import Table
from dstream_postgres.published import Member
from dstream_sdk import InvalidError

_FIRST_USER_OID = 16384


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns that the publication sends, and the key; `keyless`: the key is the whole row, see `Encoder`."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    keyless: bool = False


def shape_of(connection: Any, table: Table, member: Member, key: Sequence[str] = ()) -> TableShape:
    """The shape of a published table. `key` overrules the primary key, then the replica identity's index, then, with
    replica identity full, the whole row. InvalidError if the table or a key column does not exist."""
    found = rows(
        connection,
        "SELECT a.attname, a.atttypid::bigint FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0"
        " AND NOT a.attisdropped AND a.attname = ANY (%s::text[]) ORDER BY a.attnum",
        (member.relation, list(member.columns)),
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
    columns = tuple(Column(name, bases.get(oid, oid)) for name, oid in found)
    own = tuple(key) or primary_key(connection, member.relation)
    if own:
        return TableShape(columns, own)
    ((identity,),) = rows(connection, "SELECT relreplident FROM pg_class WHERE oid = %s", (member.relation,))
    return TableShape(columns, tuple(names) if identity == "f" else (), keyless=identity == "f")


def primary_key(connection: Any, relation: int) -> tuple[str, ...]:
    """Columns of the primary key in its order, else of the replica identity's index, else none."""
    found = rows(
        connection,
        "SELECT a.attname FROM pg_index i"
        " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE i.indexrelid ="
        " (SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = %s AND (x.indisprimary OR x.indisreplident)"
        " ORDER BY x.indisprimary DESC LIMIT 1) AND k.at <= i.indnkeyatts ORDER BY k.at",
        (relation,),
    )
    return tuple(name for (name,) in found)


def base_types(connection: Any, type_oids: Sequence[int]) -> Mapping[int, int]:
    """For each type its own oid, or for a domain that of the type below all domains. Types that the catalog does not
    show are left out."""
    out = {oid: oid for oid in type_oids if oid < _FIRST_USER_OID}
    for oid in type_oids:
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


def referred_first(connection: Any, relations: Sequence[int]) -> list[int]:
    """The tables (pg_class.oid) in an order in which those that foreign keys refer to come first, else as they are.

    Tables that refer to each other have no such order: they come as they are.
    """
    found = rows(
        connection,
        "SELECT conrelid::bigint, confrelid::bigint FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid <> confrelid AND conrelid = ANY (%s::oid[]) AND confrelid = ANY (%s::oid[]) ORDER BY conname",
        (list(relations), list(relations)),
    )
    parents: dict[int, list[int]] = {}
    for relation, parent in found:
        parents.setdefault(relation, []).append(parent)
    out: dict[int, None] = {}
    begun: set[int] = set()
    waiting = list(reversed(relations))
    while waiting:
        relation = waiting[-1]
        left = [parent for parent in parents.get(relation, ()) if parent not in begun]
        if relation not in begun and left:
            begun.add(relation)
            waiting += reversed(left)
            continue
        begun.add(relation)
        out.setdefault(waiting.pop())
    return list(out)
