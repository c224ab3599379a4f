"""Tasks: the providers of each side, and the objects that they ask for.

A task is one flow for each of its outputs, and each flow has an input process, and so a source position, of its own.
For each flow the input is asked what it needs and which streams it delivers, then the output, with the streams. They
are told the name of the flow, by which they name what may not be shared.
The answer of a version 1 output is one opaque object, its lifecycle; a version 1 input is never asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dstream.addresses import DerivedAddress, Key, TaskAddress
from dstream.config import Config, Lifecycle, SideBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.evaluate.desired import DesiredObject, split_sensitive
from dstream.engine.evaluate.redaction import Path
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec
from dstream.engine.providers.run_limits import RunLimits, run_limits
from dstream.lang import Scope, from_json_value
from dstream.plugins import Derivation, DerivedResource, ProviderInfo, derive
from dstream.plugins.type_schemas import fetch
from dstream_state import V1_LIFECYCLE, Snapshot, fingerprint

_LIFECYCLE = "lifecycle"
"""What the address and the provider call the one object of a version 1 output."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a task with its provider."""

    role: str
    label: str | None
    spec: ProviderSpec


@dataclass(slots=True)
class TaskInstance:
    """A task, or one instance of it, evaluated; what its providers ask for is filled in by `TaskRequirements`."""

    address: TaskAddress
    block: TaskBlock
    input: Side
    outputs: tuple[Side, ...]
    limits: RunLimits = field(default_factory=RunLimits)
    streams: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """What the input delivers, by the name of the flow."""
    required: list[DesiredObject] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    """Addresses of objects that it needs no longer, with which nothing is lost."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The input and the outputs."""
        return (self.input, *self.outputs)

    @property
    def discovered(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """The streams that its outputs met at run time, as the state keeps them, by the name of the flow."""
        found = {}
        for flow, streams in self.streams.items():
            met = [stream for stream in streams if stream.get("discovered")]
            if met:
                found[flow] = tuple({k: v for k, v in stream.items() if k != "discovered"} for stream in met)
        return found

    def fingerprint(self, pool: ProviderPool, key: bytes) -> str:
        """Return what identifies this configuration of the task, for telling whether it was applied."""
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


Streams = tuple[Mapping[str, Any], ...]


def with_discovered(delivered: Streams, discovered: Iterable[Mapping[str, Any]]) -> Streams:
    """Return what an input delivers together with what was met at run time, which is marked so."""
    names = {stream.get("name") for stream in delivered}
    more = {stream.get("name"): {**stream, "discovered": True} for stream in discovered}
    return (*delivered, *(stream for name, stream in more.items() if name not in names))


def discovered_of(snapshot: Snapshot, task: str, flow: str) -> Streams:
    """Return the streams that were met at run time, as the state has them."""
    recorded = snapshot.tasks.get(task)
    return recorded.discovered.get(flow, ()) if recorded is not None else ()


def flow_name(task: TaskAddress, label: str | None) -> str:
    """Return the name of a flow: that of the task, and after a slash the label of the output."""
    name = str(task).removeprefix("task.")
    return name if label is None else f"{name}/{label}"


def derived_address(task: TaskInstance, side: Side, type_: str, key: str) -> str:
    """Return the address of an object that a side of a task asks for."""
    return str(DerivedAddress(task.address, side.role, side.label, type_, key))  # type: ignore[arg-type]  # role of a side


def side_name(task: TaskAddress, role: str, label: str | None) -> str:
    """Return the name of a task's side, as `task.copy.output["audit"]`."""
    return f'{task}.{role}["{label}"]' if label is not None else f"{task}.{role}"


def task_instance(block: TaskBlock, key: Key, scope: Scope, config: Config) -> TaskInstance:
    """Evaluate the sides of a task; raise DiagnosticsError with all that is wrong."""
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


class TaskRequirements:
    """Asks the providers of tasks what they need, several tasks at once."""

    def __init__(
        self,
        pool: ProviderPool,
        needs: Callable[[TaskInstance], tuple[str, ...]],
        discovered: Callable[[str, str], Streams] = lambda task, flow: (),
    ) -> None:
        """Ask through `pool`; `needs` gives the blocks that a task's objects depend on.

        `discovered` gives the streams that the outputs of a task (its address, and the flow's name) met at run time.
        """
        self._pool = pool
        self._needs = needs
        self._discovered = discovered
        self._threads: dict[str, threading.Thread] = {}
        self.answers: dict[tuple[str, str], Derivation] = {}
        """What was said, by flow and role."""

    def start(self, task: TaskInstance) -> None:
        """Start asking; `finish` waits for the answer."""
        thread = threading.Thread(target=self._ask, args=(task,), name=f"derive {task.address}", daemon=True)
        self._threads[str(task.address)] = thread
        thread.start()

    def finish(self, task: TaskInstance) -> None:
        """Wait until the task's `required`, `streams`, `deferred` and `problems` are filled in."""
        thread = self._threads.get(str(task.address))
        if thread is None:
            self._ask(task)
        else:
            thread.join()

    def _ask(self, task: TaskInstance) -> None:
        try:
            for output in task.outputs:
                flow = flow_name(task.address, output.label)
                answer = self._side(task, task.input, flow, ())
                delivered = answer.streams if answer is not None else ()
                found = self._discovered(str(task.address), flow)
                task.streams[flow] = with_discovered(delivered, found)
                self._side(task, output, flow, task.streams[flow])
        except DiagnosticsError as problem:
            task.problems.extend(_named(problem.diagnostics, task))

    def _side(
        self, task: TaskInstance, side: Side, flow: str, streams: tuple[Mapping[str, Any], ...]
    ) -> Derivation | None:
        found = self._pool.installed(side.spec)
        if found.info.protocol < 2:
            if side.role == "output":
                task.required.append(self._lifecycle(task, side, found.info.version))
            return None
        if side.role not in found.info.roles:
            raise DiagnosticsError(
                error(
                    "Not an input provider" if side.role == "input" else "Not an output provider",
                    f"{found.info.name} is a provider for {', '.join(sorted(found.info.roles))}; "
                    f"{side.spec.name} needs one for {side.role}.",
                    side.spec.range,
                )
            )
        answer = self.answer(side, flow, streams)
        if answer.deferred:
            self.answers[flow, side.role] = answer
            task.deferred.extend(f"{side.spec.name}: {path}" for path in answer.deferred)
            return None
        fetch(found.info.resources, {item.type for item in answer.resources})
        self.answers[flow, side.role] = _with_all_secrets(answer, found.info)
        for item in answer.resources:
            self._add(task, self._wanted(task, side, item))
        task.released.update(derived_address(task, side, *pair) for pair in answer.released)
        task.warnings += (each for each in _named(answer.warnings, task) if each not in task.warnings)
        return answer

    def answer(self, side: Side, flow: str, streams: tuple[Mapping[str, Any], ...]) -> Derivation:
        """Return what a side says that it needs."""
        found = self._pool.installed(side.spec)
        return derive(
            found.binary,
            found.info,
            task=flow,
            role=side.role,
            config_json=side.spec.wire(found.info),
            streams=streams if side.role == "output" else None,
            redact=self._pool.secrets_of(side.spec),
        )

    def _add(self, task: TaskInstance, desired: DesiredObject) -> None:
        """Add an object; one that several flows ask for in the same way is one object."""
        same = next((each for each in task.required if each.address == desired.address), None)
        if same is None:
            task.required.append(desired)
        elif same.attributes != desired.attributes:
            raise DiagnosticsError(
                error(
                    "Flows of a task need different objects of one name",
                    f"{desired.address} is asked for with different attributes.",
                    task.block.range,
                )
            )

    def _wanted(self, task: TaskInstance, side: Side, item: DerivedResource) -> DesiredObject:
        address = partial(derived_address, task, side)
        schema = self._pool.installed(side.spec).info.resources.get(item.type)
        sensitive: frozenset[Path] = (
            frozenset((name,) for name in schema.sensitive) if schema is not None else frozenset()
        )
        return DesiredObject(
            address=address(item.type, item.key),
            block=str(task.address.block),
            provider=side.spec.name,
            type=item.type,
            key=item.key,
            attributes=from_json_value(item.attributes),
            sensitive=sensitive | frozenset(item.sensitive),
            dependencies=(*self._needs(task), *(address(*pair) for pair in item.depends_on)),
            lifecycle=_lifecycle_of(task.block.lifecycle, item),
            range=task.block.range,
            aliases=tuple(address(*pair) for pair in item.aliases),
            provider_prevents_destroy=item.prevent_destroy,
            timeouts=item.timeouts,
        )

    def _lifecycle(self, task: TaskInstance, side: Side, version: str) -> DesiredObject:
        config, paths = split_sensitive(side.spec.config)
        return DesiredObject(
            address=str(DerivedAddress(task.address, "output", side.label, _LIFECYCLE)),
            block=str(task.address.block),
            provider=side.spec.name,
            type=V1_LIFECYCLE,
            key=_LIFECYCLE,
            attributes={"config": config, "version": version},
            sensitive=frozenset(("config", *path) for path in paths),
            dependencies=self._needs(task),
            lifecycle=task.block.lifecycle,
            range=task.block.range,
        )


def _with_all_secrets(answer: Derivation, info: ProviderInfo) -> Derivation:
    """Return an answer whose objects name all of their sensitive attributes, those of the type's schema too."""

    def named(item: DerivedResource) -> DerivedResource:
        schema = info.resources.get(item.type)
        if schema is None or not schema.sensitive:
            return item
        return replace(item, sensitive=(*item.sensitive, *((name,) for name in schema.sensitive)))

    return replace(answer, resources=tuple(map(named, answer.resources)))


def _lifecycle_of(task: Lifecycle, item: DerivedResource) -> Lifecycle:
    """Return the lifecycle of an object: the task's, and what its provider asks for this one."""
    ignored: Any = task.ignore_changes
    if ignored != "all" and item.ignore_changes:
        ignored = list(dict.fromkeys((*ignored, *item.ignore_changes)))
    return replace(
        task,
        prevent_destroy=task.prevent_destroy or item.prevent_destroy,
        ignore_changes=ignored,
        create_before_destroy=task.create_before_destroy or item.create_before_destroy,
    )


def _named(diagnostics: Iterable[Diagnostic], task: TaskInstance) -> list[Diagnostic]:
    return [
        replace(d, address=d.address or str(task.address), subject=d.subject or task.block.range) for d in diagnostics
    ]


def stream_names(task: TaskInstance) -> tuple[str, ...]:
    """Return the names of all streams of a task."""
    names = (str(stream.get("name", "?")) for streams in task.streams.values() for stream in streams)
    return tuple(dict.fromkeys(names))
