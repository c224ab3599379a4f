"""postgres_checkpoint: the row in the target in which an output keeps how far a task has come.

As an object of its own it is planned with the task and removed with it: a task that is taken down and set up again
starts from the beginning, not from the checkpoint of the removed task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_postgres.checkpoints import create_row, create_table
from dstream_postgres.names import Table, parse_table
from dstream_postgres.resources.server import Server, server_of
from dstream_postgres.settings import Connection
from dstream_sdk import InvalidError, Object, ResourceContext, ResourceType, setting


@dataclass(frozen=True, kw_only=True)
class CheckpointAttributes:
    """Which row it is."""

    task: str = setting(description="name of the task")
    table: str = setting("public.dstream_checkpoint", description="table that keeps the checkpoints")


class Checkpoint(ResourceType[Connection]):
    """A task's row in the checkpoint table; the table is made with the first row and stays."""

    type = "postgres_checkpoint"
    attributes = CheckpointAttributes
    replace = ("task", "table")
    identity_attributes = ("task", "table")

    def read(
        self, ctx: ResourceContext[Connection], identity: Mapping[str, Any], prior: Object | None
    ) -> Object | None:
        """The row, if it is there; its checkpoint changes all the time and is no attribute."""
        table = _table(identity)
        with server_of(ctx.config, f"read {table}") as server:
            found = _exists(server, table) and server.run(
                f"SELECT 1 FROM {table.sql_format} WHERE task = %s",  # noqa: S608 - quoted
                (str(identity["task"]),),
            )
        return _object(identity) if found else None

    def create(self, ctx: ResourceContext[Connection], desired: Mapping[str, Any], intent: str | None) -> Object:
        """Insert the row without a checkpoint; one that is there stays as it is."""
        table = _table(desired)
        with server_of(ctx.config, f"write to {table}") as server, server.transaction():
            create_table(server.run, table)
            create_row(server.run, table, str(desired["task"]))
        return _object(desired)

    def delete(self, ctx: ResourceContext[Connection], prior: Object) -> None:
        """Delete the row."""
        # Both load the driver, which plan and probe do without.
        from dstream_postgres.origin import drop
        from dstream_postgres.refusals import table_of

        table = _table(prior.identity)
        with server_of(ctx.config, f"write to {table}") as server:
            if _exists(server, table):
                task = str(prior.identity["task"])
                for each in (table, table_of(table)):
                    if _exists(server, each):
                        name = each.sql_format
                        server.run(f"DELETE FROM {name} WHERE task = %s", (task,))  # noqa: S608 - quoted
                drop(server.run, task)


def _exists(server: Server, table: Table) -> bool:
    return bool(server.run("SELECT to_regclass(%s) IS NOT NULL", (table.sql,))[0][0])


def _table(names: Mapping[str, Any]) -> Table:
    try:
        return parse_table(str(names.get("table") or "public.dstream_checkpoint"))
    except ValueError as problem:
        raise InvalidError("Invalid table", str(problem), path="table") from None


def _object(names: Mapping[str, Any]) -> Object:
    own = {"task": str(names["task"]), "table": str(names.get("table") or "public.dstream_checkpoint")}
    return Object(own, own)
