"""Messages of pgoutput, protocol version 1, except the tuples inside them, which the encoder reads.

Source: PostgreSQL documentation, "Logical Replication Message Formats". All integers are big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

INSERT, UPDATE, DELETE, TRUNCATE = b"IUDT"
BEGIN, COMMIT, RELATION, ORIGIN = b"BCRO"
OLD_KEY, OLD_ROW, NEW_ROW = b"KON"

_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")
_TRUNCATE = Struct(">IB")
_OID = Struct(">I")
_COLUMN = Struct(">Ii")
_COUNT = Struct(">H")


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column of a Relation message; `identity`: it is part of the replica identity; `modifier`: its atttypmod."""

    name: str
    type_oid: int
    identity: bool
    modifier: int = -1


@dataclass(frozen=True, slots=True)
class Relation:
    """What a relation looks like from here on. `replica_identity` is pg_class.relreplident: d, n, f or i."""

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


def parse_begin(message: bytes) -> tuple[int, int]:
    """Commit LSN and transaction id of a Begin message."""
    lsn, _, xid = _BEGIN.unpack_from(message, 1)
    return lsn, xid


def parse_commit_end(message: bytes) -> int:
    """The LSN behind a transaction, from its Commit message."""
    end: int = _COMMIT.unpack_from(message, 1)[2]
    return end


def parse_truncate(message: bytes) -> list[bytes]:
    """The relations of a Truncate message, each as the four bytes of its oid."""
    count, _ = _TRUNCATE.unpack_from(message, 1)
    return [message[at : at + 4] for at in range(6, 6 + 4 * count, 4)]


def parse_relation(message: bytes) -> Relation:
    """A Relation message."""
    (oid,) = _OID.unpack_from(message, 1)
    schema, at = _text(message, 5)
    name, at = _text(message, at)
    identity = chr(message[at])
    (count,) = _COUNT.unpack_from(message, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = message[at]
        column, at = _text(message, at + 1)
        type_oid, modifier = _COLUMN.unpack_from(message, at)
        at += _COLUMN.size
        columns.append(RelationColumn(column, type_oid, bool(flags & 1), modifier))
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def parse_origin(message: bytes) -> str:
    """The name of the replication origin of an Origin message: it concerns the transaction that has just begun."""
    return _text(message, 9)[0]


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1
