"""Relations: the tables that the stream has described, and the encoders of the followed ones.

Tables are followed by oid: one that is renamed, or moved to another schema, stays the table of the configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dstream_postgres import messages
from dstream_postgres.catalog import TableShape, base_types, primary_key
from dstream_postgres.columns import Attribute, attributes_of, stream_of
from dstream_postgres.database import rows
from dstream_postgres.encoder import Column, Encoder, Fast
from dstream_postgres.names import Table
from dstream_postgres.position import TableSnapshot, Visibility
from dstream_sdk import InputSession, ProviderError, log

_FIRST_USER_OID = 16384
_FULL, _NOTHING = "f", "n"
_VISIBLE_AFTER = 10.0
"""Seconds to wait until the catalog shows a transaction that the stream has sent."""
_POLL = 0.01


class Relations:
    """Encoders by relation, whose four bytes are its oid as messages spell it.

    `followed` are the oids of the tables by the name that envelopes give them. `keys` overrules their keys. `query`
    opens a connection for questions to the catalog, of which there are few.
    """

    def __init__(
        self,
        session: InputSession,
        followed: Mapping[str, int],
        keys: Mapping[Table, Sequence[str]],
        query: Callable[[], Any],
    ) -> None:
        self._session = session
        self._followed = {oid.to_bytes(4, "big"): name for name, oid in followed.items()}
        self._keys = {str(table): tuple(key) for table, key in keys.items()}
        self._query = query
        self._ignored: set[bytes] = set()
        self.encoders: dict[bytes, Encoder] = {}
        self.inserts: dict[bytes, Fast] = {}
        self.updates: dict[bytes, Fast] = {}
        self.seen: dict[bytes, Visibility] = {}
        """Snapshots of relations whose rows were read, until the stream has left them behind."""

    def learn(self, message: bytes, snapshots: Mapping[str, TableSnapshot], xid: int) -> bytes:
        """Take a Relation message of transaction `xid`: it holds from here on. Returns the relation.

        Raises ProviderError."""
        found = messages.parse_relation(message)
        relation = message[1:5]
        for known in (self.encoders, self.inserts, self.updates):
            known.pop(relation, None)
        name = self._followed.get(relation)
        if name is None:
            self._look_at_another(relation, Table(found.schema, found.name), xid)
            return relation
        shape = self._shape(name, found, xid)
        if self._session.schemas:
            self._session.schema(stream_of(self._query(), name, shape, self._attributes(found)))
        encoder = Encoder(name, shape.columns, shape.key, keyless=shape.keyless)
        self.encoders[relation] = encoder
        self.inserts[relation] = encoder.insert
        self.updates[relation] = encoder.update
        if name in snapshots:
            self.seen[relation] = Visibility.parse(snapshots[name].snapshot)
        return relation

    def skipped(self, xid: int) -> frozenset[bytes]:
        """The relations whose snapshot holds this transaction."""
        return frozenset(relation for relation, seen in self.seen.items() if seen.sees(xid))

    def _shape(self, name: str, found: messages.Relation, xid: int) -> TableShape:
        types = sorted({column.type_oid for column in found.columns})
        bases: Mapping[int, int] = {oid: oid for oid in types}
        if types[-1:] >= [_FIRST_USER_OID]:
            bases = base_types(self._query(), types)
            if len(bases) < len(types) and self._visible(xid):
                bases = base_types(self._query(), types)
            bases = {oid: bases.get(oid, oid) for oid in types}
        columns = tuple(Column(column.name, bases[column.type_oid]) for column in found.columns)
        key: Sequence[str] = self._keys.get(name, ())
        if not key and found.replica_identity in (_FULL, _NOTHING):
            key = primary_key(self._query(), found.oid)
            if not key and self._visible(xid):
                key = primary_key(self._query(), found.oid)
        if key:
            return TableShape(columns, tuple(key))
        identity = tuple(column.name for column in found.columns if column.identity)
        return TableShape(columns, identity, keyless=found.replica_identity == _FULL)

    def _attributes(self, found: messages.Relation) -> list[Attribute]:
        """The columns as the message has them; whether they may be NULL only the present catalog tells."""
        now = {(each.name, each.type_oid): each for each in attributes_of(self._query(), found.oid)}
        spelled = [Attribute(column.name, column.type_oid, column.modifier) for column in found.columns]
        return [replace(each, nullable=now.get((each.name, each.type_oid), each).nullable) for each in spelled]

    def _look_at_another(self, relation: bytes, table: Table, xid: int) -> None:
        """A table that is not followed: it may have taken the name of one that is."""
        if relation in self._ignored or str(table) not in self._followed.values():
            return
        if not self._visible(xid):
            raise ProviderError(
                "Catalog behind the stream",
                f"a change of {table} arrived that belongs to another table of this name than the one that is "
                f"followed, and after {_VISIBLE_AFTER:g} seconds the catalog does not show its transaction {xid}. The "
                "transaction may wait for a synchronous standby.",
            )
        now = rows(self._query(), "SELECT coalesce(to_regclass(%s)::oid, 0)::bigint", (table.sql,))[0][0]
        if now.to_bytes(4, "big") == relation:
            raise ProviderError(
                "Table replaced during the session",
                f"{table} is another table than the one that was followed, which was dropped or renamed. The next "
                "session decides by `on_gap`.",
            )
        self._ignored.add(relation)
        log(f"skipping changes of an earlier table with the name {table} that no longer exists")

    def _visible(self, xid: int) -> bool:
        """Wait until other sessions see what transaction `xid` did; False if they do not after `_VISIBLE_AFTER`.

        The server writes a commit to the log, where the stream finds it, before it shows the transaction to others.
        """
        end = time.monotonic() + _VISIBLE_AFTER
        while True:
            ((snapshot,),) = rows(self._query(), "SELECT pg_current_snapshot()::text")
            if Visibility.parse(snapshot).sees(xid):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)
