"""Task instances: an evaluated task with the provider of each side, and the names of its flows.

A task is one flow for each of its outputs. Each flow has an input process, and so a source position, of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from dstream.addresses import DerivedAddress, Key, TaskAddress
from dstream.config import Config, SideBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec
from dstream.engine.providers.run_limits import RunLimits, run_limits
from dstream.lang import Scope
from dstream_state import TaskState, fingerprint

Streams = tuple[Mapping[str, Any], ...]


class Side(Struct, frozen=True):
    """One end of a task with its provider."""

    role: str
    label: str | None
    spec: ProviderSpec


class TaskInstance(Struct, frozen=True):
    """A task, or one instance of it, evaluated."""

    address: TaskAddress
    block: TaskBlock
    input: Side
    outputs: tuple[Side, ...]
    limits: RunLimits = field(default_factory=RunLimits)
    dependencies: tuple[str, ...] = ()
    """The blocks that its objects depend on."""
    discovered: Mapping[str, Streams] = field(default_factory=dict)
    """The streams that its outputs discovered at run time, by flow name."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The input and the outputs."""
        return (self.input, *self.outputs)

    @property
    def unknown(self) -> bool:
        """Whether the configuration of a side is unknown."""
        return any(side.spec.unknown for side in self.sides)

    def fingerprint(self, pool: ProviderPool, key: bytes) -> str:
        """Return a fingerprint of the task's configuration, which changes when the task has to be applied again."""
        parts = [
            [
                side.role,
                side.label,
                side.spec.source.kind,
                side.spec.source.value,
                side.spec.wire(info),
                info.version,
            ]
            for side in self.sides
            for info in [pool.installed(side.spec).info]
        ]
        return fingerprint(key, ("task", str(self.address)), parts)


def task_instance(block: TaskBlock, key: Key, scope: Scope, config: Config) -> TaskInstance:
    """Evaluate the sides of a task; raise DiagnosticsError with all errors."""
    address = TaskAddress(block.name, key)
    problems: list[Diagnostic] = []
    sides = []
    for role, side in (("input", block.input), *(("output", output) for output in block.outputs)):
        try:
            sides.append(Side(role, side.label, _spec(address, role, side, scope, config)))
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    limits = RunLimits()
    try:
        limits = run_limits(block, scope)
    except DiagnosticsError as problem:
        problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return TaskInstance(address, block, sides[0], tuple(sides[1:]), limits)


def _spec(address: TaskAddress, role: Any, side: SideBlock, scope: Scope, config: Config) -> ProviderSpec:
    return make_spec(side_name(address, role, side.label), side.launch, side.config, role, scope, config)


def with_discovered(delivered: Streams, discovered: Iterable[Mapping[str, Any]]) -> Streams:
    """Return the streams of an input and those discovered at run time, which are marked as discovered."""
    names = {stream.get("name") for stream in delivered}
    more = {stream.get("name"): {**stream, "discovered": True} for stream in discovered}
    return (*delivered, *(stream for name, stream in more.items() if name not in names))


def discovered_of(
    tasks: Mapping[str, TaskState], task: TaskInstance, more: Mapping[str, Streams] | None = None
) -> dict[str, Streams]:
    """Return the discovered streams of a task by flow name: the recorded ones, and `more`."""
    prior = tasks.get(str(task.address))
    known = prior.discovered if prior is not None else {}
    flows = [flow_name(task.address, output.label) for output in task.outputs]
    return {flow: (*known.get(flow, ()), *(more or {}).get(flow, ())) for flow in flows}


def flow_name(task: TaskAddress, label: str | None) -> str:
    """Return the name of a flow: the task's name, a slash and the label of the output."""
    name = str(task).removeprefix("task.")
    return name if label is None else f"{name}/{label}"


def derived_address(task: TaskInstance, side: Side, type_: str, key: str) -> str:
    """Return the address of an object that a side of a task requires."""
    return str(DerivedAddress(task.address, side.role, side.label, type_, key))  # type: ignore[arg-type]  # role of a side


def side_name(task: TaskAddress, role: str, label: str | None) -> str:
    """Return the name of a task's side, as `task.copy.output["audit"]`."""
    return f'{task}.{role}["{label}"]' if label is not None else f"{task}.{role}"
