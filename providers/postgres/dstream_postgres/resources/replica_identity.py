"""postgres_replica_identity: what a table writes to the log about the old version of a row.

The table was there before and stays afterwards: creating this changes a property of it, deleting puts the earlier
value back, which is kept in the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dstream_postgres.names import Table, parse_table, quote
from dstream_postgres.resources.server import Server, server_of
from dstream_postgres.settings import Connection
from dstream_sdk import InvalidError, Object, ResourceContext, ResourceType, setting

_READ = (
    "SELECT c.relreplident, coalesce((SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
    " WHERE x.indrelid = c.oid AND x.indisreplident), '') FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"
)
_KINDS = {"d": "default", "f": "full", "n": "nothing", "i": "index"}


@dataclass(frozen=True)
class ReplicaIdentityAttributes:
    """What a table's replica identity is."""

    table: str = setting(description="the table: name or schema.name")
    identity: Literal["default", "full", "nothing", "index"] = setting(
        "default", description="default: the primary key; full: all columns; nothing; index: those of `index`"
    )
    index: str = setting("", description="the index, with identity index")


class ReplicaIdentity(ResourceType[Connection]):
    """The replica identity of a table."""

    type = "postgres_replica_identity"
    attributes = ReplicaIdentityAttributes
    replace = ("table",)
    identity = "assigned"
    """Every table has a replica identity: that there is one already says nothing about whose it is."""
    identity_attributes = ("table",)

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """The replica identity as it is; gone if the table is."""
        spelled = str(identity["table"])
        table = _table(spelled)
        with server_of(ctx.config, f"read the replica identity of {table}") as server:
            now = _read(server, table)
        return None if now is None else _object(spelled, now, (prior.private if prior else None) or {})

    def import_(self, ctx: ResourceContext[Connection], identity: Mapping[str, Any]) -> Object | None:
        """The replica identity of a table, which is named alone or as an attribute."""
        return self.read(ctx, {"table": identity.get("table", identity.get("id", ""))}, None)

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Record the present value, then set the desired one."""
        spelled = str(desired["table"])
        table = _table(spelled)
        with server_of(ctx.config, f"set the replica identity of {table}") as server:
            with server.transaction():
                earlier = _read(server, table)
                if earlier is None:
                    raise InvalidError("No such table", f"the table {table} does not exist", path="table")
                _set(server, table, str(desired.get("identity") or "default"), str(desired.get("index") or ""))
            now = _read(server, table)
        return _object(spelled, now or earlier, {"earlier": {"identity": earlier[0], "index": earlier[1]}})

    def update(self, ctx: ResourceContext[Connection], prior: Object, desired: Mapping[str, Any]) -> Object:
        """Set the desired value; the recorded earlier value stays the one from before dstream."""
        spelled = str(desired["table"])
        table = _table(spelled)
        with server_of(ctx.config, f"set the replica identity of {table}") as server:
            identity = str(desired.get("identity") or "default"), str(desired.get("index") or "")
            _set(server, table, *identity)
            now = _read(server, table)
        return _object(spelled, now or identity, prior.private or {})

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Put the earlier value back; a dropped table needs nothing, a missing index becomes the default."""
        table = _table(str(prior.identity["table"]))
        earlier = dict((prior.private or {}).get("earlier") or {})
        identity, index = str(earlier.get("identity") or "default"), str(earlier.get("index") or "")
        with server_of(ctx.config, f"restore the replica identity of {table}") as server:
            if _read(server, table) is None:
                return
            if identity == "index" and not server.run(
                "SELECT 1 FROM pg_indexes WHERE schemaname = %s AND tablename = %s AND indexname = %s",
                (table.schema, table.name, index),
            ):
                identity = "default"
            _set(server, table, identity, index)


def _table(text: str) -> Table:
    try:
        return parse_table(text)
    except ValueError as problem:
        raise InvalidError("Invalid table", str(problem), path="table") from None


def _read(server: Server, table: Table) -> tuple[str, str] | None:
    found = server.run(_READ, (table.schema, table.name))
    if not found:
        return None
    kind = _KINDS[found[0][0]]
    return kind, str(found[0][1]) if kind == "index" else ""


def _set(server: Server, table: Table, identity: str, index: str) -> None:
    if identity == "index" and not index:
        raise InvalidError("No index", "identity index needs the name of an index", path="index")
    clause = f"USING INDEX {quote(index)}" if identity == "index" else identity.upper()
    server.run(f"ALTER TABLE {table.sql} REPLICA IDENTITY {clause}")


def _object(spelled: str, value: tuple[str, str], private: Mapping[str, Any]) -> Object:
    attributes = {"table": spelled, "identity": value[0], "index": value[1]}
    return Object({"table": spelled}, attributes, private)
