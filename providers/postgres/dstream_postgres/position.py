"""Position: the content of the input's checkpoint, and the visibility of transactions in a recorded snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dstream_postgres.lsn import format_lsn, parse_lsn
from dstream_postgres.packing import pack, unpack
from dstream_sdk.errors import not_a_checkpoint

_EPOCH = 1 << 32
_READABLE_TABLES = 100
"""Positions of more tables are packed: a checkpoint is at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """A snapshot as `pg_current_snapshot()` prints it: `xmin:xmax:in,progress`."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Visibility:
        """A snapshot from its text. Raises ValueError."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def sees(self, xid: int) -> bool:
        """Whether a transaction that has committed is visible; `xid` is of 32 bits, as the stream names it.

        The stream's transactions and the snapshot are never 2**31 transactions apart.
        """
        full = (self.xmax & -_EPOCH) | xid
        if full - self.xmax > _EPOCH >> 1:
            full -= _EPOCH
        elif self.xmax - full > _EPOCH >> 1:
            full += _EPOCH
        return full < self.xmin or (full < self.xmax and full not in self.running)


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """The snapshot of a table: still to be read (`reading`), or read and not yet left behind by the stream.

    A table to be read has no `snapshot` and no `until`, and its state does not change while it is read: the host counts
    an equal checkpoint as no progress, and blocks a task whose table can never be read. Before it is read again, its
    rows are removed from the target. After reading, transactions visible in `snapshot` are skipped in the stream until
    the stream is past `until`, the end of the log after the snapshot was taken: none of them can come later.
    """

    snapshot: str = ""
    until: int = 0
    reading: bool = False


UNREAD = TableSnapshot(reading=True)


@dataclass(frozen=True, slots=True)
class LogMark:
    """A digest of the write-ahead log from `start` to `end`: another history of the same server has another one."""

    start: int
    end: int
    digest: str


@dataclass(frozen=True, slots=True)
class Position:
    """The input's place: all changes before `lsn` have been emitted.

    `publication_version` changes whenever the publication itself is altered, `publish` are its operations. By table:
    `members` are the oids of the entries in the publication, which change when a table leaves it and comes back (0:
    the publication lists no tables), `relations` the oids of the tables. Checkpoints of earlier versions lack
    `publication_version`, `publish`, `relations` and `log`.
    """

    system: str
    timeline: int
    slot: str
    slot_since: int
    """Where this slot's position was when it was first used: the slot's generation."""
    publication: str
    publication_oid: int
    lsn: int
    members: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, TableSnapshot] = field(default_factory=dict)
    relations: Mapping[str, int] = field(default_factory=dict)
    publication_version: str = ""
    publish: tuple[str, ...] = ()
    log: LogMark | None = None

    def at(self, lsn: int) -> Position:
        """The position at a later LSN, without the snapshots that are behind it."""
        if not self.tables:
            return replace(self, lsn=lsn)
        kept = {name: one for name, one in self.tables.items() if one.reading or one.until > lsn}
        return replace(self, lsn=lsn, tables=kept)

    def with_table(self, table: str, state: TableSnapshot) -> Position:
        """The position with another state of one table's snapshot."""
        return replace(self, tables={**self.tables, table: state})

    def to_json(self) -> dict[str, Any]:
        """The checkpoint as it travels and is stored."""
        publication: dict[str, Any] = {"name": self.publication, "oid": self.publication_oid}
        if self.publication_version:
            publication |= {"version": self.publication_version, "publish": list(self.publish)}
        out: dict[str, Any] = {
            "system": self.system,
            "timeline": self.timeline,
            "slot": {"name": self.slot, "since": format_lsn(self.slot_since)},
            "publication": publication,
            "lsn": format_lsn(self.lsn),
        }
        if self.log is not None:
            out["log"] = {
                "start": format_lsn(self.log.start),
                "end": format_lsn(self.log.end),
                "digest": self.log.digest,
            }
        by_table: dict[str, Mapping[str, Any]] = {"members": dict(self.members)}
        if self.relations:
            by_table["relations"] = dict(self.relations)
        if self.tables:
            by_table["tables"] = {name: _table_to_json(one) for name, one in self.tables.items()}
        return {**out, **(by_table if len(self.members) <= _READABLE_TABLES else {"packed": pack(by_table)})}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], tables: Iterable[str] = ()) -> Position:
        """A position from a stored checkpoint. Raises InvalidError if it is not one of this input's.

        `tables` are those that are followed now: a packed position holds no names, and keeps no others.
        """
        try:
            by_table = unpack(value["packed"], tables) if "packed" in value else value
            publication, log = value["publication"], value.get("log")
            return cls(
                system=str(value["system"]),
                timeline=int(value["timeline"]),
                slot=str(value["slot"]["name"]),
                slot_since=parse_lsn(value["slot"]["since"]),
                publication=str(publication["name"]),
                publication_oid=int(publication["oid"]),
                lsn=parse_lsn(value["lsn"]),
                members={str(name): int(oid) for name, oid in by_table["members"].items()},
                tables={str(name): _table_from_json(one) for name, one in by_table.get("tables", {}).items()},
                relations={str(name): int(oid) for name, oid in by_table.get("relations", {}).items()},
                publication_version=str(publication.get("version", "")),
                publish=tuple(map(str, publication.get("publish", ()))),
                log=None if log is None else LogMark(parse_lsn(log["start"]), parse_lsn(log["end"]), log["digest"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise not_a_checkpoint(problem) from problem


def _table_to_json(one: TableSnapshot) -> dict[str, Any]:
    out: dict[str, Any] = {"snapshot": one.snapshot, "until": format_lsn(one.until)}
    return {**out, "reading": True, "truncate": True} if one.reading else out


def _table_from_json(value: Mapping[str, Any]) -> TableSnapshot:
    if value.get("reading"):
        return UNREAD
    Visibility.parse(value["snapshot"])
    return TableSnapshot(str(value["snapshot"]), parse_lsn(value["until"]))
