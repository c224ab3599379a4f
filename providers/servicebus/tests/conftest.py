"""The stand-in of Service Bus, once for each test process, empty for each test; and a folder to type commands in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import LONGEST, Ended, dstream, start
from tests.services.azure.running import ServiceBus, service_bus
from tests.services.shebang import runs

RECORDED = Path(__file__).with_name("recorded_in.py")


@pytest.fixture(scope="session")
def running() -> Iterator[ServiceBus]:
    with service_bus() as bus:
        yield bus


@pytest.fixture
def bus(running: ServiceBus) -> Iterator[ServiceBus]:
    yield running
    running.namespace.entities.clear()
    running.broker.faults.clear()
    running.broker.throttles.clear()
    running.broker.missing = "detach"
    running.broker.visible_after, running.broker.megabyte, running.broker.clock = 0.0, 1024 * 1024, time.time
    running.server.faults.clear()
    running.server.calls.clear()


@pytest.fixture
def trust(bus: ServiceBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients in this process take the stand-in for who it says it is."""
    for name, value in bus.environment.items():
        monkeypatch.setitem(os.environ, name, value)


@dataclass
class Folder:
    """A configuration in a folder, with the namespace's connection string in ASB_CONNECTION."""

    path: Path
    bus: ServiceBus
    tables: list[str] = field(default_factory=lambda: ["Persons", "Orders"])
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> Path:
        """The file that the input plays."""
        return self.path / "changes.jsonl"

    def write(
        self, output: str = "", *, input: str = "", more: str = "", connection: str = 'env("ASB_CONNECTION")'
    ) -> None:
        """Write a task `copy` from the recorded input to Service Bus, with more settings of either."""
        tables = ", ".join(f'"{each}"' for each in self.tables)
        self.path.joinpath("in.sh").write_text(runs(RECORDED))
        self.path.joinpath("in.sh").chmod(0o755)
        self.path.joinpath("dstream.hcl").write_text(
            f"""
task "copy" {{
  input {{
    provider_path = "./in.sh"
    config {{
      path   = "{self.changes}"
      tables = [{tables}]
      {input}
    }}
  }}
  output {{
    provider = "asb"
    config {{
      connection_string = {connection}
      {output}
    }}
  }}
}}
{more}
"""
        )
        if not self.changes.exists():
            self.changes.write_text("")

    def record(self, *lines: str) -> None:
        """Add envelopes to what the input plays."""
        with self.changes.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    @property
    def env(self) -> Mapping[str, str]:
        """The variables of commands."""
        return {"ASB_CONNECTION": self.bus.connection_string, **self.bus.environment, **self.environment}

    def dstream(self, *arguments: str, timeout: float = LONGEST) -> Ended:
        """Run a command to its end."""
        return dstream(self.path, *arguments, env=self.env, timeout=timeout)

    def start(self, *arguments: str) -> Any:
        """Start a command."""
        return start(self.path, *arguments, env=self.env)

    def apply(self, *arguments: str) -> Ended:
        """Apply, and expect it to go well."""
        ended = self.dstream("apply", "-auto-approve", *arguments)
        assert ended.code == 0, ended.said
        return ended

    def run(self, *arguments: str) -> Ended:
        """Run the task until everything is moved, and expect it to go well."""
        ended = self.dstream("run", "copy", "-until-idle", *arguments)
        assert ended.code == 0, ended.said
        return ended

    def bodies(self, queue: str) -> list[Any]:
        """Return the bodies of all messages that ever came into a queue."""
        return [each.json() for each in self.bus.store(queue).history]


@pytest.fixture
def folder(tmp_path: Path, bus: ServiceBus) -> Folder:
    return Folder(tmp_path, bus)
