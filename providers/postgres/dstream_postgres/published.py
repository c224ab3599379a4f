"""Published: the tables that a publication carries now, and the identity of the publication and of each table in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.names import Table
from dstream_postgres.settings import OPERATIONS
from dstream_sdk import ProviderError

# The version of a row of the catalog is the transaction that wrote it: it changes with ALTER PUBLICATION ... SET, and
# not when tables are added or dropped. It stays when the row is frozen.
_PUBLICATION = (
    "SELECT p.oid::bigint, p.xmin::text, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,"
    " coalesce(age(p.xmin) <= age(s.catalog_xmin), false)"
    " FROM pg_publication p LEFT JOIN pg_replication_slots s ON s.slot_name = %s WHERE p.pubname = %s"
)
_MEMBERS = (
    "SELECT p.schemaname, p.tablename, p.attnames::text[], p.rowfilter, c.oid::bigint, c.relkind,"
    " coalesce(r.oid, x.oid, 0)::bigint,"
    " coalesce(age(coalesce(r.xmin, x.xmin)) <= age(s.catalog_xmin), false)"
    " FROM pg_publication_tables p JOIN pg_publication b ON b.pubname = p.pubname"
    " JOIN pg_namespace n ON n.nspname = p.schemaname"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
    " LEFT JOIN pg_publication_rel r ON r.prpubid = b.oid AND r.prrelid = c.oid"
    " LEFT JOIN pg_publication_namespace x ON x.pnpubid = b.oid AND x.pnnspid = n.oid"
    " LEFT JOIN pg_replication_slots s ON s.slot_name = %s WHERE p.pubname = %s"
)


@dataclass(frozen=True, slots=True)
class Member:
    """A table in a publication."""

    entry: int
    """The oid of the table's entry in the publication, else of its schema's; 0 if the publication names neither."""
    relation: int
    """The oid of the table."""
    partitioned: bool
    columns: tuple[str, ...]
    """The published columns, in their order."""
    row_filter: str | None
    """SQL."""
    newer_than_slot: bool
    """Whether it may have been added after the slot was created: earlier changes are in no stream."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as it is now. `publish` are its operations, in the order of the setting `operations`."""

    name: str
    oid: int
    version: str
    publish: tuple[str, ...]
    newer_than_slot: bool
    members: Mapping[Table, Member]


def read_publication(connection: Any, name: str, slot: str) -> Publication:
    """Read a publication. Raises ProviderError if it does not exist."""
    found = rows(connection, _PUBLICATION, (slot, name))
    if not found:
        raise ProviderError(
            "No publication",
            f"the publication {name!r} does not exist in this database. `dstream apply` creates it; changes "
            "made meanwhile are lost to this task, which `on_gap` decides about.",
        )
    oid, version, *on, newer = found[0]
    members = {
        Table(schema, table): Member(entry, relation, kind == "p", tuple(columns), row_filter, added)
        for schema, table, columns, row_filter, relation, kind, entry, added in rows(connection, _MEMBERS, (slot, name))
    }
    publish = tuple(operation for operation, is_on in zip(OPERATIONS, on, strict=True) if is_on)
    return Publication(name, oid, version, publish, newer, members)


def name_of(connection: Any, relation: int) -> Table | None:
    """The present name of a table, None if it no longer exists."""
    found = rows(
        connection,
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        (relation,),
    )
    return Table(*found[0]) if found else None
