"""The provider's real programs, driven by hand, and a database for them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstream_sdk.testing import ResourceSession, RunningInput, RunningOutput, derived
from tests.events import until
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

    def sent(self) -> None:
        """Wait until the server has sent what is now in its log to the input of `t`, or has passed over it."""
        ((end,),) = self.execute("SELECT pg_current_wal_lsn()::text")
        reached = (
            "SELECT sent_lsn >= %s::pg_lsn FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid"
            " WHERE slot_name = %s"
        )
        until(
            lambda: self.execute(reached, (end, f"dstream_t_{self.name}")) == [(True,)], f"the log up to {end} is sent"
        )

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

    def waits(self, times: int = 12) -> None:
        """Wait until it has gone to sleep so often: by then it has done all that it does without being told more."""
        start = self._sleeps()
        until(lambda: self._sleeps() >= start + times, f"{times} times that the input waits")

    def _sleeps(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1])


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
