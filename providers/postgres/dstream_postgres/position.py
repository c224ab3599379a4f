"""Position: what a checkpoint of the input says, and visibility of transactions in a recorded snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dstream_postgres.lsn import format_lsn, parse_lsn
from dstream_sdk import InvalidError

_EPOCH = 1 << 32


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
    """How far a table's rows have been read, and which transactions they contain.

    `snapshot` was recorded when reading began; it is empty for a table that is still to be read. Transactions
    visible in it are skipped in the stream until the stream is past `until`, where the log was after it was taken:
    none of them can come later.
    """

    snapshot: str
    until: int
    reading: bool = False
    rows: int = 0
    """How many rows have been read so far."""
    truncate: bool = False
    """The target may hold rows of an earlier reading; they are to be removed."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the input is: all before `lsn` has been emitted. `members` are the oids of the tables' entries in the
    publication, which change when a table leaves it and comes back (0: the publication lists no tables)."""

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
        out: dict[str, Any] = {
            "system": self.system,
            "timeline": self.timeline,
            "slot": {"name": self.slot, "since": format_lsn(self.slot_since)},
            "publication": {"name": self.publication, "oid": self.publication_oid},
            "lsn": format_lsn(self.lsn),
            "members": dict(self.members),
        }
        if self.tables:
            out["tables"] = {name: _table_to_json(one) for name, one in self.tables.items()}
        return out

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """A position from a stored checkpoint. Raises InvalidError if it is not one of this input's."""
        try:
            return cls(
                system=str(value["system"]),
                timeline=int(value["timeline"]),
                slot=str(value["slot"]["name"]),
                slot_since=parse_lsn(value["slot"]["since"]),
                publication=str(value["publication"]["name"]),
                publication_oid=int(value["publication"]["oid"]),
                lsn=parse_lsn(value["lsn"]),
                members={str(name): int(oid) for name, oid in value["members"].items()},
                tables={str(name): _table_from_json(one) for name, one in value.get("tables", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidError(
                "Not a checkpoint of this input",
                f"the stored checkpoint cannot be read ({type(problem).__name__}: {problem}); it may belong to another "
                "kind of input. Reset the task's checkpoint to start over.",
            ) from problem


def _table_to_json(one: TableSnapshot) -> dict[str, Any]:
    out: dict[str, Any] = {"snapshot": one.snapshot, "until": format_lsn(one.until)}
    if one.reading:
        out["reading"] = True
        out["rows"] = one.rows
    if one.truncate:
        out["truncate"] = True
    return out


def _table_from_json(value: Mapping[str, Any]) -> TableSnapshot:
    if value["snapshot"]:
        Visibility.parse(value["snapshot"])
    return TableSnapshot(
        snapshot=str(value["snapshot"]),
        until=parse_lsn(value["until"]),
        reading=bool(value.get("reading")),
        rows=int(value.get("rows", 0)),
        truncate=bool(value.get("truncate")),
    )
