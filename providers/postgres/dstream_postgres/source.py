"""Source: what a server says about itself, a slot and a publication, and whether changes were lost since a position.

PostgreSQL loses changes without an error when a slot or publication is dropped and created again (version 18; 15
fails at the place). What gives it away:

- The slot's confirmed position is moved by nobody but us, and only up to a stored checkpoint. A slot that is ahead
  of the checkpoint is another slot, or somebody else reads it. A new slot starts where the log ends at that moment,
  which is behind no checkpoint taken before.
- A publication, and the entry of a table in one, are rows of the catalog with oids of their own; made anew they
  have others.
- Another cluster has another system identifier; one that was restored or promoted has another timeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.lsn import format_lsn, parse_lsn
from dstream_postgres.names import Table
from dstream_postgres.position import Position
from dstream_sdk import InvalidError, ProviderError

PLUGIN = "pgoutput"
FLUSHED = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"
"""Where the log ends that a sender can read, on a primary or a standby."""

_LISTS_SINCE = 150000


@dataclass(frozen=True, slots=True)
class Source:
    """The server as it is now. `members`: oid of each table's entry in the publication, 0 if it lists none."""

    system: str
    timeline: int
    slot: str
    slot_confirmed: int
    publication: str
    publication_oid: int
    members: Mapping[str, int]
    columns: Mapping[str, tuple[str, ...]]
    """The published columns of each table, where the server says them (15 and later)."""
    filters: Mapping[str, str]
    """The row filter of each table that has one, as SQL."""
    end: int
    """Where the flushed log ends."""

    def start(self) -> Position:
        """The position of a slot that is read for the first time."""
        return Position(
            system=self.system,
            timeline=self.timeline,
            slot=self.slot,
            slot_since=self.slot_confirmed,
            publication=self.publication,
            publication_oid=self.publication_oid,
            lsn=self.slot_confirmed,
        )


def inspect(
    connection: Any, identity: tuple[str, int], slot: str, publication: str, tables: tuple[Table, ...]
) -> Source:
    """Read what there is; `identity` is system identifier and timeline. Raises ProviderError if slot or publication
    is missing or unfit, or a table is not published."""
    found = rows(
        connection,
        "SELECT plugin, database = current_database(), database, coalesce(confirmed_flush_lsn, '0/0')::text,"
        " coalesce(wal_status, 'reserved') FROM pg_replication_slots WHERE slot_name = %s",
        (slot,),
    )
    if not found:
        raise ProviderError(
            "No replication slot",
            f"the slot {slot!r} does not exist on this server. `dstream apply` creates it; changes made before it "
            "exists are not delivered.",
        )
    plugin, here, database, confirmed, status = found[0]
    if plugin != PLUGIN or not here:
        raise InvalidError(
            "Unfit replication slot",
            f"the slot {slot!r} is of plugin {plugin!r} in database {database!r}; needed is {PLUGIN!r} in the "
            "database of the connection string. Choose another name with `slot`.",
        )
    if status == "lost":
        raise ProviderError(
            "Replication slot invalidated",
            f"the server removed log that the slot {slot!r} still needed (max_slot_wal_keep_size). Changes are lost: "
            'replace the slot with `dstream apply -replace=...`, and set on_gap = "snapshot" to read the tables again.',
        )
    published = _publication(connection, publication)
    system, timeline = identity
    (end,) = rows(connection, f"SELECT ({FLUSHED})::text")[0]
    (version,) = rows(connection, "SHOW server_version_num")[0]
    columns, filters = _lists(connection, publication) if int(version) >= _LISTS_SINCE else ({}, {})
    return Source(
        system=system,
        timeline=timeline,
        slot=slot,
        slot_confirmed=parse_lsn(confirmed),
        publication=publication,
        publication_oid=published,
        members=_members(connection, publication, tables),
        columns=columns,
        filters=filters,
        end=parse_lsn(end),
    )


def verify(connection: Any, position: Position, tables: tuple[Table, ...]) -> None:
    """Check that a publication is still the one that `position` speaks of, with the same tables. ProviderError if not.

    Version 18 goes on without an error, and without the changes, when a publication is dropped while it is read.
    """
    oid = _publication(connection, position.publication)
    members = _members(connection, position.publication, tables)
    if oid != position.publication_oid or any(members[table] != one for table, one in position.members.items()):
        raise ProviderError(
            "The publication was changed while it was read",
            f"{position.publication!r}, or a table's entry in it, was dropped and created again; changes made in "
            "between may be lost. The next session decides by `on_gap`.",
        )


def _publication(connection: Any, name: str) -> int:
    found = rows(connection, "SELECT oid::bigint FROM pg_publication WHERE pubname = %s", (name,))
    if not found:
        raise ProviderError(
            "No publication",
            f"the publication {name!r} does not exist in this database. `dstream apply` creates it; changes "
            "made meanwhile are lost to this task, which `on_gap` decides about.",
        )
    return int(found[0][0])


def _lists(connection: Any, publication: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Published columns and row filters by table."""
    found = rows(
        connection,
        "SELECT schemaname, tablename, attnames::text[], rowfilter FROM pg_publication_tables WHERE pubname = %s",
        (publication,),
    )
    columns = {str(Table(schema, name)): tuple(names) for schema, name, names, _ in found}
    return columns, {str(Table(schema, name)): text for schema, name, _, text in found if text}


def _members(connection: Any, publication: str, tables: tuple[Table, ...]) -> dict[str, int]:
    found = rows(
        connection,
        "SELECT p.schemaname, p.tablename, coalesce(r.oid::bigint, 0) FROM pg_publication_tables p"
        " JOIN pg_publication b ON b.pubname = p.pubname"
        " JOIN pg_namespace n ON n.nspname = p.schemaname"
        " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename"
        " LEFT JOIN pg_publication_rel r ON r.prpubid = b.oid AND r.prrelid = c.oid WHERE p.pubname = %s",
        (publication,),
    )
    published = {Table(schema, name): oid for schema, name, oid in found}
    missing = [str(table) for table in tables if table not in published]
    if missing:
        raise ProviderError(
            "Table not published",
            f"the publication {publication!r} has no table {', '.join(missing)}. Check that it exists and is spelled "
            "as in the catalog; `dstream apply` adds it to the publication.",
        )
    return {str(table): published[table] for table in tables}


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing: why, and for which tables (None: all)."""

    reason: str
    table: str | None = None


def gaps(position: Position, source: Source) -> list[Gap]:
    """What makes it impossible to go on from `position` without losing changes; empty if nothing does."""
    found = []
    if position.system != source.system:
        return [Gap(f"this is another server (system identifier {source.system}, not {position.system})")]
    if position.timeline != source.timeline:
        found.append(Gap(f"the server was restored or promoted (timeline {source.timeline}, not {position.timeline})"))
    if source.slot_confirmed > position.lsn:
        found.append(
            Gap(
                f"the slot {source.slot!r} is ahead of the checkpoint ({format_lsn(source.slot_confirmed)}, not "
                f"{format_lsn(position.lsn)}): it was created again, or somebody else reads it"
            )
        )
    if position.lsn > source.end:
        found.append(
            Gap(f"the server's log ends at {format_lsn(source.end)}, before the checkpoint {format_lsn(position.lsn)}")
        )
    if position.publication_oid != source.publication_oid:
        found.append(Gap(f"the publication {source.publication!r} was created again since the checkpoint"))
        return found
    for table, oid in source.members.items():
        if position.members.get(table, oid) != oid:
            found.append(Gap(f"the table {table} left the publication and was added again", table))
    return found
