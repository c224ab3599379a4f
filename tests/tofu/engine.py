"""The results of dstream: the engine in this process, and its provider in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity
from dstream.engine.apply.apply import ApplyOptions, apply
from dstream.engine.commands.plan import plan
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import Operation, OperationInputs, open_operation
from dstream.plan import Plan
from dstream.stopping import Stop
from dstream_state import Put, Snapshot
from tests.services.recorder.in_process import in_process
from tests.services.recorder.world import Told
from tests.tofu.data_provider import HEADER, PROGRAM, provider
from tests.tofu.results import Event, Result, anonymous, changes, kept
from tests.tofu.steps import Step


class Dstream:
    """One folder with a configuration and its state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / PROGRAM
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self._programs = {str(program): provider}

    def step(self, step: Step) -> Result:
        """Carry out one step."""
        with in_process(self._programs):
            return self._step(step)

    def _step(self, step: Step) -> Result:
        (self._folder / "dstream.hcl").write_text(HEADER + step.text)
        found = Result()
        options = PlanOptions(destroy=step.destroy, targets=step.targets, exclude=step.exclude, replace=step.replace)
        before: dict[str, str] = {}
        told = _Events()
        plans: list[Plan] = []
        try:
            operation = self._operation()
            before = _ids(_snapshot(operation))
            if step.taint:
                self._taint(operation, step.taint)
            outcome = apply(operation, ApplyOptions(options), lambda made: plans.append(made) or True, told, Stop())
        except DiagnosticsError as problem:
            found.refused = _summaries(problem.diagnostics)
        else:
            form = outcome.plan.to_json()
            found.plan, found.outputs = changes(form["resource_changes"]), _outputs(form)
            found.failed = _summaries(outcome.diagnostics)
            found.events = told.events
        try:
            operation = self._operation()
            snapshot = _snapshot(operation)
            found.state, found.kept = _objects(snapshot), kept(before, _ids(snapshot))
            again = plan(operation, PlanOptions()).plan
            found.again = changes(again.to_json()["resource_changes"])
        except DiagnosticsError as problem:
            found.again_refused = _summaries(problem.diagnostics)
        return found

    def _operation(self) -> Operation:
        return open_operation(OperationInputs(config=self._folder))

    def _taint(self, operation: Operation, addresses: Iterable[str]) -> None:
        with operation.backend.lock("taint", timeout=1) as held:
            recorded = held.current().resources
            held.append(
                [Put(each, replace(recorded[each], status="tainted")) for each in addresses if each in recorded]
            )
            held.finish()


class _Events(Told):
    """An observer that keeps the events of an apply."""

    ACTIONS = {"create": "create", "update": "update", "destroy": "delete"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def started(self, address: str, step: str) -> None:
        self._event("start", step, address)

    def done(self, address: str, step: str, seconds: float) -> None:
        self._event("end", step, address)

    def failed(self, address: str, step: str) -> None:
        self._event("end", step, address)

    def _event(self, kind: str, step: str, address: str) -> None:
        if step in self.ACTIONS:
            self.events.append(Event(kind, self.ACTIONS[step], address.removesuffix("#deposed")))


def _snapshot(operation: Operation) -> Snapshot:
    view = operation.backend.read()
    return view.snapshot or Snapshot.new(view.lineage)


def _ids(snapshot: Snapshot) -> dict[str, str]:
    return {address: item.identity["id"] for address, item in snapshot.resources.items()}


def _objects(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    found = {}
    for address, item in snapshot.resources.items():
        values = {name: anonymous(value) for name, value in item.attributes.items() if value is not None}
        found[address] = {"values": values, **({"tainted": True} if item.status == "tainted" else {})}
    return dict(sorted(found.items()))


def _outputs(form: dict[str, Any]) -> dict[str, list[str]]:
    return {name: each["actions"] for name, each in form["output_changes"].items() if each["actions"] != ["no-op"]}


def _summaries(diagnostics: Iterable[Diagnostic]) -> list[str]:
    return sorted({each.summary for each in diagnostics if each.severity is Severity.ERROR})
