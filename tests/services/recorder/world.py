"""World: a configuration in a folder, the recording provider, and the engine's operations called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.apply.apply import ApplyOptions, Outcome, apply
from dstream.engine.commands.drift import DriftReport, find_drift
from dstream.engine.commands.plan import plan
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import Operation, OperationInputs, open_operation
from dstream.plan import Action, Change, Plan
from dstream.stopping import Stop
from dstream_state import ObjectState, Snapshot, overlay
from tests.services.recorder.recorder import Recorder

PROVIDER = """
provider "rec" {{
  provider_path = "./bin/rec"
  config {{
    folder = "{folder}"{more}
  }}
}}
"""
TASK = """
task "{name}" {{
  input {{
    provider_path = "./bin/rec-in"
    config {{
      folder = "{folder}"
      tables = {tables}
    }}
  }}
  output {{
    provider_path = "./bin/rec-out"
    config {{
      folder = "{folder}"
      tables = {tables}{more}
    }}
  }}
}}
"""


@dataclass
class Told:
    """An observer that keeps what it was told, as lines."""

    lines: list[str] = field(default_factory=list)
    on_started: Callable[[str], None] = lambda address: None
    on_begun: Callable[[], object] = lambda: None

    def waiting(self, holder: Any) -> None:
        self.lines.append("waiting")

    def stopping(self, flow: str, holder: Any) -> None:
        self.lines.append(f"stopping {flow}")

    def recovering(self, count: int) -> None:
        self.lines.append(f"recovering {count}")

    def recovered(self, address: str, outcome: str) -> None:
        self.lines.append(f"recovered {address}: {outcome}")

    def begun(self, count: int, ahead: Callable[[], list[str]]) -> None:
        self.lines.append(f"begun {count}: {' '.join(ahead())}")
        self.on_begun()

    def started(self, address: str, step: str) -> None:
        self.lines.append(f"started {step} {address}")
        self.on_started(address)

    def done(self, address: str, step: str, seconds: float) -> None:
        self.lines.append(f"done {step} {address}")

    def retrying(self, address: str, seconds: float, why: str) -> None:
        self.lines.append(f"retrying {address} in {seconds:g}: {why}")

    def failed(self, address: str, step: str) -> None:
        self.lines.append(f"failed {step} {address}")

    def skipped(self, address: str, because: str) -> None:
        self.lines.append(f"skipped {address} because of {because}")

    def of(self, kind: str) -> list[str]:
        """Return the lines of one kind, without it."""
        return [line.removeprefix(f"{kind} ") for line in self.lines if line.startswith(f"{kind} ")]


class World:
    """One configuration and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder(folder)
        self.told = Told()
        self.stop = Stop()
        self.backend = ""
        """A `dstream` block that says where the state is; beside the configuration without one."""

    # -- the configuration ---------------------------------------------------------------------------

    def write(self, text: str, *, config: str = "") -> None:
        """Write the configuration: a `provider "rec"` block, with more settings in `config`, and `text`."""
        block = PROVIDER.format(folder=self.recorder.folder, more=f"\n    {config}" if config else "")
        (self.folder / "dstream.hcl").write_text(self.backend + block + text)

    def task(self, *tables: str, name: str = "copy", more: str = "") -> str:
        """Return a task that moves tables with the recorder on both sides; `more` are settings of its output."""
        listed = more_text(more)
        return TASK.format(name=name, folder=self.recorder.folder, tables=json.dumps(tables), more=listed)

    def operation(self, **variables: str) -> Operation:
        """Return the configuration, opened."""
        return open_operation(OperationInputs(config=self.folder, variables=variables))

    # -- operations ----------------------------------------------------------------------------------

    def plan(self, variables: dict[str, str] | None = None, **options: Any) -> Plan:
        """Return the plan."""
        return plan(self.operation(**(variables or {})), PlanOptions(**options)).plan

    def attempt(
        self,
        *,
        parallelism: int = 10,
        variables: dict[str, str] | None = None,
        lock_timeout: float = 20,
        **options: Any,
    ) -> Outcome:
        """Apply, whatever comes of it."""
        self.told, self.stop = Told(on_started=self.told.on_started, on_begun=self.told.on_begun), Stop()
        operation = self.operation(**(variables or {}))
        made = ApplyOptions(PlanOptions(**options), parallelism, lock_timeout=lock_timeout)
        return apply(operation, made, lambda plan: True, self.told, self.stop)

    def apply(self, text: str | None = None, **options: Any) -> Outcome:
        """Write the configuration, if one is given, apply it, and expect no error."""
        if text is not None:
            self.write(text)
        outcome = self.attempt(**options)
        assert outcome.diagnostics == (), said(outcome.diagnostics)
        return outcome

    def drift(self, today: date | None = None) -> DriftReport:
        """Return the drift."""
        return find_drift(self.operation(), today)

    # -- what is recorded ----------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """The state as readers see it."""
        view = self.operation().backend.read()
        return overlay(view.snapshot or Snapshot.new(view.lineage), view.pending)

    @property
    def recorded(self) -> dict[str, ObjectState]:
        """The recorded objects by address."""
        return dict(self.snapshot.resources)

    def recorded_names(self) -> list[str]:
        """Return the `name` of all recorded objects that are known to exist, sorted."""
        found = (item for item in self.recorded.values() if item.status in ("ok", "tainted"))
        return sorted(str(item.attributes["name"]) for item in found)

    def in_step(self) -> bool:
        """Whether what exists is what is recorded."""
        return self.recorder.names() == self.recorded_names()

    def everything_written(self) -> bytes:
        """Return all bytes below the state's folder."""
        return b"".join(path.read_bytes() for path in (self.folder / ".dstream").rglob("*") if path.is_file())


def more_text(more: str) -> str:
    """Return settings as further lines of a block."""
    return f"\n      {more}" if more else ""


def actions(plan: Plan) -> dict[str, Action]:
    """Return what a plan does, by address, without what stays as it is."""
    return {change.address: change.action for change in plan.changes if change.action is not Action.NO_OP}


def change(plan: Plan, address: str) -> Change:
    """Return the change of one address."""
    return next(each for each in plan.changes if each.address == address)


def said(diagnostics: Iterable[Diagnostic]) -> str:
    """Return diagnostics as text."""
    return "\n".join(f"{d.address or ''} {d.summary}: {d.detail}" for d in diagnostics)


def refused(run: Callable[[], Any]) -> tuple[Diagnostic, ...]:
    """Return what an operation is refused with."""
    try:
        run()
    except DiagnosticsError as problem:
        return problem.diagnostics
    raise AssertionError("it was not refused")
