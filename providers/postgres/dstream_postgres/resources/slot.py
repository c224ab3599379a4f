"""postgres_replication_slot: the place in the write-ahead log up to which a task has read.

Dropping a slot loses that place: changes that were not read yet cannot be read any more, though the rows are all
there. It counts as loss of data, so it is never dropped or replaced without consent.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_postgres.resources.server import Server, server_of
from dstream_postgres.settings import Connection
from dstream_sdk import ConflictError, InvalidError, Object, ResourceContext, ResourceType, setting

_READ = (
    "SELECT plugin, coalesce(database, ''), slot_type, active, coalesce(wal_status, 'reserved')"
    " FROM pg_replication_slots WHERE slot_name = %s"
)
_FAILOVER_SINCE = 170000
_PATIENCE = 30.0


@dataclass(frozen=True, kw_only=True)
class SlotAttributes:
    """What a replication slot is."""

    name: str = setting(description="name of the slot: a-z, 0-9 and _")
    plugin: str = setting("pgoutput", description="output plugin; the input reads pgoutput")
    failover: bool = setting(False, description="kept in step on standby servers (PostgreSQL 17 and later)")
    database: str = setting(description="the database whose changes it carries")
    wal_status: str = setting(description="lost: the server has removed log that the slot still needed")


class ReplicationSlot(ResourceType[Connection]):
    """A logical replication slot. Every change of it is another slot."""

    type = "postgres_replication_slot"
    attributes = SlotAttributes
    computed = ("database", "wal_status")
    replace = ("name", "plugin", "failover")
    identity_attributes = ("name",)
    holds_data = True

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """The slot as it is."""
        with server_of(ctx.config, "read the replication slot") as server:
            return _read(server, str(identity["name"]))

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Create the slot. The server waits for the transactions that are running, and so does this."""
        name, plugin = str(desired["name"]), str(desired.get("plugin") or "pgoutput")
        failover = bool(desired.get("failover"))
        with server_of(ctx.config, f"create the replication slot {name}") as server:
            if server.run("SHOW wal_level")[0][0] != "logical":
                raise InvalidError(
                    "Logical replication is off",
                    "the server's wal_level must be logical: ALTER SYSTEM SET wal_level = logical, then restart it",
                )
            if server.run(_READ, (name,)):
                raise ConflictError(
                    "Replication slot exists",
                    f"there is a slot {name!r} already. Import it, or choose another name.",
                )
            if failover and int(server.run("SHOW server_version_num")[0][0]) < _FAILOVER_SINCE:
                raise InvalidError("Not supported", "failover needs PostgreSQL 17 or later", path="failover")
            extra = ", failover => true" if failover else ""
            # Without a limit the server keeps waiting, and creates the slot after the request has ended.
            server.run("SELECT set_config('statement_timeout', %s, false)", (_milliseconds(ctx.remaining()),))
            try:
                server.run(f"SELECT pg_create_logical_replication_slot(%s, %s{extra})", (name, plugin))
            finally:
                server.run("SET statement_timeout = 0")
            found = _read(server, name)
        if found is None:
            raise ConflictError("Replication slot does not exist", f"{name!r} was dropped meanwhile; plan again")
        return found

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Drop the slot. One that is being read is waited for, up to 30 s: its task may be stopping."""
        name = str(prior.identity["name"])
        deadline = time.monotonic() + _PATIENCE
        while True:
            with server_of(ctx.config, f"drop the replication slot {name}") as server:
                found = server.run(_READ, (name,))
                if not found:
                    return
                if not found[0][3]:
                    server.run("SELECT pg_drop_replication_slot(%s)", (name,))
                    return
            if time.monotonic() > deadline or ctx.cancelled:
                raise ConflictError(
                    "Replication slot in use",
                    f"another process reads the slot {name!r}; stop the task that runs on it, then try again",
                )
            time.sleep(0.2)


def _milliseconds(seconds: float | None) -> str:
    return "0" if seconds is None else str(max(1, int(seconds * 1000)))


def _read(server: Server, name: str) -> Object | None:
    found = server.run(_READ, (name,))
    if not found:
        return None
    plugin, database, kind, _, status = found[0]
    if kind != "logical":
        raise ConflictError("Not a logical slot", f"the slot {name!r} is a physical one; choose another name")
    failover = False
    if int(server.run("SHOW server_version_num")[0][0]) >= _FAILOVER_SINCE:
        failover = bool(server.run("SELECT failover FROM pg_replication_slots WHERE slot_name = %s", (name,))[0][0])
    # How far the log is held back changes all the time; only its loss is a difference.
    attributes = {
        "name": name,
        "plugin": plugin,
        "failover": failover,
        "database": database,
        "wal_status": "lost" if status == "lost" else "kept",
    }
    return Object({"name": name}, attributes)
