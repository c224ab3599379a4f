"""Source: the state of a server, a slot and a publication, and whether changes were lost since a position.

PostgreSQL loses changes without an error when a slot or publication is dropped and created again (version 18; 15
fails at that place). The signs:

- The slot's confirmed position is moved by this input only, and only up to a stored checkpoint. A slot that is ahead
  of the checkpoint is another slot, or another program reads it. A new slot starts at the end of the log, which is
  behind no checkpoint taken before.
- A publication, and the entry of a table in one, are rows of the catalog with oids of their own, and so is the table;
  a new one has another oid. A publication that was altered is another version of its row.
- Another cluster has another system identifier; one that was restored from a base backup or promoted has another
  timeline; one that was restored from a copy of its files has another log before the checkpoint (see `history`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.lsn import format_lsn, parse_lsn
from dstream_postgres.names import Table
from dstream_postgres.position import Position
from dstream_postgres.published import Member, Publication, name_of, read_publication
from dstream_sdk import InvalidError, ProviderError

PLUGIN = "pgoutput"
FLUSHED = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"
"""Where the log ends that a sender can read, on a primary or a standby."""


@dataclass(frozen=True, slots=True)
class Source:
    """The server as it is now. `members` are the followed tables in the publication, by name."""

    system: str
    timeline: int
    slot: str
    slot_confirmed: int
    publication: Publication
    members: Mapping[str, Member]
    end: int
    """Where the flushed log ends."""

    def start(self) -> Position:
        """The position of a slot that is read for the first time."""
        return Position(
            system=self.system,
            timeline=self.timeline,
            slot=self.slot,
            slot_since=self.slot_confirmed,
            publication=self.publication.name,
            publication_oid=self.publication.oid,
            publication_version=self.publication.version,
            publish=self.publication.publish,
            lsn=self.slot_confirmed,
        )

    @property
    def entries(self) -> dict[str, int]:
        """The oid of each followed table's entry in the publication."""
        return {name: member.entry for name, member in self.members.items()}

    @property
    def relations(self) -> dict[str, int]:
        """The oid of each followed table."""
        return {name: member.relation for name, member in self.members.items()}


def inspect(
    connection: Any,
    identity: tuple[str, int],
    slot: str,
    publication: str,
    tables: Sequence[Table],
    relations: Mapping[str, int],
) -> Source:
    """Read the state of the server. `identity` is system identifier and timeline; `relations` are the oids of the
    tables in the checkpoint. Raises ProviderError if slot or publication is missing or unfit, or a table is not
    published."""
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
    system, timeline = identity
    state = read_publication(connection, publication, slot)
    members = _followed(connection, state, tables, relations)
    ((end,),) = rows(connection, f"SELECT ({FLUSHED})::text")
    return Source(
        system=system,
        timeline=timeline,
        slot=slot,
        slot_confirmed=parse_lsn(confirmed),
        publication=state,
        members=members,
        end=parse_lsn(end),
    )


def verify(connection: Any, position: Position, tables: Sequence[Table]) -> None:
    """Check that a publication is still the one of `position`, with the same tables. Raises ProviderError if not.

    Version 18 continues without an error, and without the changes, when a publication is dropped while it is read.
    """
    state = read_publication(connection, position.publication, position.slot)
    members = _followed(connection, state, tables, position.relations)
    same = state.oid == position.publication_oid and position.publication_version in ("", state.version)
    for name, member in members.items():
        same = same and position.members.get(name, member.entry) == member.entry
        same = same and position.relations.get(name, member.relation) == member.relation
    if not same:
        raise ProviderError(
            "Publication changed during the session",
            f"{position.publication!r}, or a table or its entry in it, was altered or dropped and created again; "
            "changes made in between may be lost. The next session decides by `on_gap`.",
        )


def _followed(
    connection: Any, publication: Publication, tables: Sequence[Table], relations: Mapping[str, int]
) -> dict[str, Member]:
    missing = [table for table in tables if table not in publication.members]
    if not missing:
        return {str(table): publication.members[table] for table in tables}
    reasons = []
    for table in missing:
        known = relations.get(str(table))
        now = name_of(connection, known) if known else None
        reasons.append(f"{table} (now named {now})" if now not in (None, table) else str(table))
    raise ProviderError(
        "Table not published",
        f"the publication {publication.name!r} has no table {', '.join(reasons)}. Check that it exists and is spelled "
        "as in the catalog; `dstream apply` adds it to the publication. Partitions are published under the name of "
        "their table if the publication has publish_via_partition_root, else under their own names.",
    )


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes may be missing: why, and for which tables (None: all)."""

    reason: str
    table: str | None = None


def gaps(position: Position, source: Source) -> list[Gap]:
    """What makes it impossible to continue from `position` without losing changes; empty if nothing does."""
    found = []
    publication = source.publication
    if position.system != source.system:
        return [Gap(f"this is another server (system identifier {source.system}, not {position.system})")]
    if position.timeline != source.timeline:
        found.append(Gap(f"the server was restored or promoted (timeline {source.timeline}, not {position.timeline})"))
    if source.slot_confirmed > position.lsn:
        found.append(
            Gap(
                f"the slot {source.slot!r} is ahead of the checkpoint ({format_lsn(source.slot_confirmed)}, not "
                f"{format_lsn(position.lsn)}): it was created again, or another program reads it"
            )
        )
    if position.lsn > source.end:
        found.append(
            Gap(f"the server's log ends at {format_lsn(source.end)}, before the checkpoint {format_lsn(position.lsn)}")
        )
    if position.publication_oid != publication.oid:
        found.append(Gap(f"the publication {publication.name!r} was created again since the checkpoint"))
        return found
    if position.publication_version not in ("", publication.version) and position.publish == publication.publish:
        # With other operations than at the checkpoint, it was altered to what the configuration asks for now.
        found.append(
            Gap(
                f"the publication {publication.name!r} was altered since the checkpoint, and publishes the same again: "
                "what it did not publish in between is missing"
            )
        )
    for table, member in source.members.items():
        if position.relations.get(table, member.relation) != member.relation:
            found.append(Gap(f"the table {table} was replaced by another table of that name", table))
        elif position.members.get(table, member.entry) != member.entry:
            found.append(Gap(f"the table {table} left the publication and was added again", table))
    return found


def first_gaps(source: Source) -> list[Gap]:
    """What is missing in a stream that is read from the slot's beginning, without a snapshot of the tables."""
    late = [name for name, member in source.members.items() if member.newer_than_slot]
    if source.publication.newer_than_slot:
        return [Gap(f"the slot {source.slot!r} may be older than the publication {source.publication.name!r}")]
    return [Gap(f"the table {name} may have been published after the slot was created", name) for name in late]
