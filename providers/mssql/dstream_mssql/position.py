"""Position: what a checkpoint of the input says.

Each table has its own place: everything up to `lsn` has been emitted; with `seq`, the transaction of `lsn` only up to
that sequence of that `command`. Tables that have been read up to the newest captured LSN share the position's own
`lsn`, so that a checkpoint of many tables stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dstream_mssql.lsn import from_hex, to_hex
from dstream_sdk import InvalidError


@dataclass(frozen=True, slots=True)
class Place:
    """How far one table has been read, and in which capture instance (named, and by its change table's number)."""

    instance: str
    object_id: int
    lsn: int
    seq: int | None = None
    command: int | None = None
    """With `seq`, the number of the operation within the transaction; None where the change table has no numbers."""
    reading: bool = False
    """Its rows are still to be read, or their reading was interrupted."""
    rows: int = 0
    """How many rows have been read so far."""
    truncate: bool = False
    """The target may hold rows of an earlier reading; they are to be removed."""

    @property
    def first(self) -> int:
        """The LSN from which to read on."""
        return self.lsn + 1 if self.seq is None else self.lsn

    def at(self, lsn: int, seq: int | None = None, command: int | None = None) -> Place:
        """The place further on."""
        return replace(self, lsn=lsn, seq=seq, command=command)

    def before_transaction(self) -> Place:
        """The place before the transaction within which this one is; the same if it is between two."""
        return self if self.seq is None else self.at(self.lsn - 1)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the input is in a database, table by table (by schema and name)."""

    database: str
    guid: str
    lsn: int
    """The newest LSN that was seen captured."""
    tables: Mapping[str, Place] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The checkpoint as it travels and is stored."""
        return {
            "database": self.database,
            "guid": self.guid,
            "lsn": to_hex(self.lsn),
            "tables": {name: _place_to_json(place, self.lsn) for name, place in self.tables.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """A position from a stored checkpoint. Raises InvalidError if it is not one of this input's."""
        try:
            lsn = from_hex(value["lsn"])
            return cls(
                database=str(value["database"]),
                guid=str(value["guid"]),
                lsn=lsn,
                tables={str(name): _place_from_json(one, lsn) for name, one in value["tables"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidError(
                "Not a checkpoint of this input",
                f"the stored checkpoint cannot be read ({type(problem).__name__}: {problem}); it may belong to another "
                "kind of input. Reset the task's checkpoint to start over.",
            ) from problem


def _place_to_json(place: Place, lsn: int) -> dict[str, Any]:
    out: dict[str, Any] = {"instance": place.instance, "id": place.object_id}
    if place.lsn != lsn or place.seq is not None:
        out["lsn"] = to_hex(place.lsn)
    if place.seq is not None:
        out["seq"] = to_hex(place.seq)
    if place.command is not None:
        out["command"] = place.command
    if place.reading:
        out["reading"] = True
        out["rows"] = place.rows
    if place.truncate:
        out["truncate"] = True
    return out


def _place_from_json(value: Mapping[str, Any], lsn: int) -> Place:
    return Place(
        instance=str(value["instance"]),
        object_id=int(value["id"]),
        lsn=from_hex(value["lsn"]) if "lsn" in value else lsn,
        seq=from_hex(value["seq"]) if "seq" in value else None,
        command=int(value["command"]) if "command" in value else None,
        reading=bool(value.get("reading")),
        rows=int(value.get("rows", 0)),
        truncate=bool(value.get("truncate")),
    )
