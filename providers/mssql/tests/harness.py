"""The provider's real program, driven by hand, and settings that read the stand-in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dstream_sdk.testing import ResourceSession, RunningInput, derived
from tests.services.mssql.server import SqlServer

Json = dict[str, Any]


def config_of(server: SqlServer, *tables: str, database: str = "shop", login: str = "sa", **more: Any) -> Json:
    """Settings that read a database of the stand-in, quickly."""
    own = {"connection_string": server.connection_string(database, login), "tables": list(tables)}
    return {**own, "poll_interval": "20ms", "max_poll_interval": "100ms", "checkpoint_interval": "10ms", **more}


def program(role: str) -> list[str]:
    """The command of the provider in a role: `in` or `resource`."""
    return [sys.executable, "-m", "dstream_mssql", role]


class InputRun(RunningInput):
    """A running input."""

    def __init__(self, config: Mapping[str, Any], checkpoint: Json | None = None, **more: Any) -> None:
        super().__init__(program("in"), config, checkpoint, **more)

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Operation and data of each envelope."""
        return [(one["metadata"]["OperationType"], one["data"]) for one in self.envelopes]


def read(config: Mapping[str, Any], checkpoint: Json | None = None, **more: Any) -> InputRun:
    """One session up to the present end."""
    run = InputRun(config, checkpoint, **more).finish()
    assert run.ended, (run.status, run.said)
    return run


def refusal(config: Mapping[str, Any], checkpoint: Json | None = None) -> Json:
    """The first diagnostic of a session that is refused."""
    run = InputRun(config, checkpoint).finish()
    assert run.status.get("status") == "error", (run.lines, run.said)
    found: Json = run.status["diagnostics"][0]
    return found


class ResourceRun(ResourceSession):
    """A resource session."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(program("resource"), config)


def plan(config: Mapping[str, Any]) -> list[Json]:
    """The answer of a derivation."""
    return derived(program("in"), "input", config)
