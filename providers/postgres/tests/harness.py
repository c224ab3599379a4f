"""The provider's real programs, driven by hand, and a database for them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream_sdk.testing import ResourceSession, RunningInput, RunningOutput, derived
from tests.services.postgres import EmbeddedPostgres

Json = dict[str, Any]


@dataclass
class Database:
    """A database of its own on the shared server."""

    server: EmbeddedPostgres
    name: str

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    def execute(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.server.execute(sql, parameters, dbname=self.name)

    def prepare(self, *tables: str, task: str = "t") -> None:
        """The publication and slot that the input of `task` reads."""
        self.execute(f"CREATE PUBLICATION dstream_{task} FOR TABLE {', '.join(tables)}")
        self.execute(f"SELECT pg_create_logical_replication_slot('dstream_{task}_{self.name}', 'pgoutput')")

    def config(self, *tables: str, task: str = "t", **more: Any) -> Json:
        slot = f"dstream_{task}_{self.name}"
        own = {"connection_string": self.dsn, "tables": list(tables), "slot": slot, "snapshot": "initial"}
        return {**own, **more}


def program(role: str) -> list[str]:
    """The command of the provider in a role: `in`, `out` or `resource`."""
    return [sys.executable, "-m", "dstream_postgres", role]


class InputRun(RunningInput):
    """A running input."""

    def __init__(self, config: Mapping[str, Any], checkpoint: Json | None = None, **more: Any) -> None:
        super().__init__(program("in"), config, checkpoint, **more)


class OutputRun(RunningOutput):
    """A running output."""

    def __init__(self, config: Mapping[str, Any], **more: Any) -> None:
        super().__init__(program("out"), config, **more)


class ResourceRun(ResourceSession):
    """A resource session."""

    def __init__(self, config: Mapping[str, Any], role: str = "resource") -> None:
        super().__init__(program(role), config)


def plan(role: str, config: Mapping[str, Any], **more: Any) -> list[Json]:
    """The answer of a derivation."""
    return derived(program(role), {"in": "input", "out": "output"}[role], config, **more)


def start(database: Database) -> dict[str, Any]:
    """Return the checkpoint of a session that has read the table `t`, of one row."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    database.prepare("t")
    run = InputRun(database.config("t")).finish()
    assert run.ended
    assert run.checkpoint is not None
    return run.checkpoint
