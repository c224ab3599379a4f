"""Position: the content of the input's checkpoints.

Each table has its own position: everything up to `lsn` has been emitted; with `seq`, the transaction `lsn` only up to
that sequence of that `command`. Tables that are read up to the newest captured LSN share the `lsn` of the whole
position, so that a checkpoint of many tables stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dstream_mssql.lsn import from_hex, to_hex
from dstream_sdk.errors import not_a_checkpoint


@dataclass(frozen=True, slots=True)
class TablePosition:
    """How far a table has been read, and in which capture instance (by name, and by its change table's object id)."""

    instance: str
    object_id: int
    lsn: int
    seq: int | None = None
    command: int | None = None
    """With `seq`, the `__$command_id` within the transaction; None if the change table does not have that column."""
    reading: bool = False
    """Whether the table's snapshot is due or was interrupted."""
    rows: int = 0
    """The number of snapshot rows that have been read."""
    truncate: bool = False
    """Whether the target may have rows of an earlier snapshot, which must be removed."""

    @property
    def first(self) -> int:
        """The LSN to continue from."""
        return self.lsn + 1 if self.seq is None else self.lsn

    def at(self, lsn: int, seq: int | None = None, command: int | None = None) -> TablePosition:
        """Return this position, advanced."""
        return replace(self, lsn=lsn, seq=seq, command=command)

    def before_transaction(self) -> TablePosition:
        """Return the position before the current transaction; unchanged if it is between transactions."""
        return self if self.seq is None else self.at(self.lsn - 1)


@dataclass(frozen=True, slots=True)
class Position:
    """The input's position in a database, with that of each table by its name with schema."""

    database: str
    guid: str
    lsn: int
    """The newest captured LSN so far."""
    tables: Mapping[str, TablePosition] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the checkpoint as JSON."""
        return {
            "database": self.database,
            "guid": self.guid,
            "lsn": to_hex(self.lsn),
            "tables": {name: _table_to_json(table, self.lsn) for name, table in self.tables.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """Parse a stored checkpoint. Raises InvalidError if it belongs to another kind of input."""
        try:
            lsn = from_hex(value["lsn"])
            return cls(
                database=str(value["database"]),
                guid=str(value["guid"]),
                lsn=lsn,
                tables={str(name): _table_from_json(one, lsn) for name, one in value["tables"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise not_a_checkpoint(problem) from problem


def _table_to_json(table: TablePosition, lsn: int) -> dict[str, Any]:
    out: dict[str, Any] = {"instance": table.instance, "id": table.object_id}
    if table.lsn != lsn or table.seq is not None:
        out["lsn"] = to_hex(table.lsn)
    if table.seq is not None:
        out["seq"] = to_hex(table.seq)
    if table.command is not None:
        out["command"] = table.command
    if table.reading:
        out["reading"] = True
        out["rows"] = table.rows
    if table.truncate:
        out["truncate"] = True
    return out


def _table_from_json(value: Mapping[str, Any], lsn: int) -> TablePosition:
    return TablePosition(
        instance=str(value["instance"]),
        object_id=int(value["id"]),
        lsn=from_hex(value["lsn"]) if "lsn" in value else lsn,
        seq=from_hex(value["seq"]) if "seq" in value else None,
        command=int(value["command"]) if "command" in value else None,
        reading=bool(value.get("reading")),
        rows=int(value.get("rows", 0)),
        truncate=bool(value.get("truncate")),
    )
