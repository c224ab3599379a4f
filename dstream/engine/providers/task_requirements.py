"""Task requirements: the objects that the providers of a task need before it can run.

For each flow the input returns the objects that it needs and the streams that it delivers; then the output, which
receives the streams, returns its objects. Both receive the name of the flow, for names of objects that flows must not
share. A version 1 output requires one opaque object, its lifecycle; a version 1 input requires nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.addresses import DerivedAddress
from dstream.config import Lifecycle
from dstream.consequences import Consequence
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.evaluate.desired import DesiredObject, split_sensitive
from dstream.engine.evaluate.redaction import Path, repeated_secrets
from dstream.engine.providers.findings import finding_diagnostic
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.stream_columns import MOST_COLUMNS, stream_columns
from dstream.engine.providers.task_instance import (
    Side,
    Streams,
    TaskInstance,
    derived_address,
    flow_name,
    with_discovered,
)
from dstream.lang import from_json_value
from dstream.lang.secret_texts import texts_in
from dstream.plugins import Derivation, DerivedResource, PlanRequest, ProviderInfo, derive
from dstream.plugins.assessment import Assessment
from dstream.plugins.type_schemas import fetch
from dstream_state import V1_LIFECYCLE

PARALLELISM = 10
"""The number of tasks that are queried at the same time, unless the user says otherwise."""
_LIFECYCLE = "lifecycle"
"""The key of the only object of a version 1 output."""

Recorded = Callable[[TaskInstance, Side, str], Mapping[str, Any] | None]


def _nothing(_task: TaskInstance, _side: Side, _flow: str) -> None:
    return None


class RequiredObjects(Struct, frozen=True):
    """The answers of the providers of one task."""

    objects: tuple[DesiredObject, ...] = ()
    streams: Mapping[str, Streams] = field(default_factory=dict)
    """The streams that the input delivers, by flow name."""
    deferred: tuple[str, ...] = ()
    """The unknown arguments for which a provider deferred its answer."""
    released: frozenset[str] = frozenset()
    """Addresses of objects that the task no longer needs, and that can be destroyed without loss."""
    problems: tuple[Diagnostic, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    """What apply or run would fail on, or may fail on."""
    consequences: tuple[Consequence, ...] = ()
    """What happens to the data, as the providers report it."""
    answers: Mapping[tuple[str, str], Derivation] = field(default_factory=dict)
    """The original answers, by flow and role."""

    @property
    def stream_names(self) -> tuple[str, ...]:
        """The names of all streams of the task."""
        names = (str(stream.get("name", "?")) for streams in self.streams.values() for stream in streams)
        return tuple(dict.fromkeys(names))

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """The columns of the streams that declare them, each with its type as text; empty if there are very many."""
        found = {
            str(stream.get("name", "?")): stream_columns(stream)
            for streams in self.streams.values()
            for stream in streams
            if stream.get("columns")
        }
        return found if sum(map(len, found.values())) <= MOST_COLUMNS else {}

    @property
    def discovered(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """The streams that the outputs discovered at run time, in the form of the state, by flow name."""
        found = {}
        for flow, streams in self.streams.items():
            met = [stream for stream in streams if stream.get("discovered")]
            if met:
                found[flow] = tuple({k: v for k, v in stream.items() if k != "discovered"} for stream in met)
        return found


class TaskRequirements:
    """Queries the providers of tasks for their requirements, several tasks in parallel."""

    def __init__(self, pool: ProviderPool, parallelism: int = PARALLELISM, recorded: Recorded = _nothing) -> None:
        """Use the providers of `pool`, for at most `parallelism` tasks at the same time.

        `recorded` returns what is recorded of the task of a side and a flow, to be assessed by its provider.
        """
        self._pool, self._recorded = pool, recorded
        self._parallelism = parallelism
        self._lock = threading.Lock()
        self._waiting: deque[TaskInstance] = deque()
        self._workers = 0
        self._started: dict[str, threading.Event] = {}
        self._results: dict[str, RequiredObjects | Exception] = {}

    def start(self, task: TaskInstance) -> None:
        """Start the queries of a task; `result` waits for the answers."""
        with self._lock:
            self._started[str(task.address)] = threading.Event()
            self._waiting.append(task)
            if self._workers < self._parallelism:
                self._workers += 1
                threading.Thread(target=self._work, name=f"requirements-{self._workers}", daemon=True).start()

    def result(self, task: TaskInstance) -> RequiredObjects:
        """Return the requirements of a task, started now unless `start` was called."""
        started = self._started.get(str(task.address))
        if started is not None:
            started.wait()
        elif str(task.address) not in self._results:
            self._ask(task)
        found = self._results[str(task.address)]
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self) -> None:
        """Query no further tasks; those in progress end with an answer or an error."""
        with self._lock:
            self._waiting.clear()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._workers -= 1
                    return
                task = self._waiting.popleft()
            self._ask(task)
            self._started[str(task.address)].set()

    def _ask(self, task: TaskInstance) -> None:
        try:
            self._results[str(task.address)] = self._collect(task)
        except Exception as problem:  # noqa: BLE001  # raised again where the result is waited for
            self._results[str(task.address)] = problem

    def _collect(self, task: TaskInstance) -> RequiredObjects:
        collected = _Collected(task)
        try:
            for output in task.outputs:
                flow = flow_name(task.address, output.label)
                answer = self._side(collected, task.input, flow, ())
                delivered = answer.streams if answer is not None else ()
                collected.streams[flow] = with_discovered(delivered, task.discovered.get(flow, ()))
                self._side(collected, output, flow, collected.streams[flow])
        except DiagnosticsError as problem:
            collected.problems.extend(_named(problem.diagnostics, task))
        return collected.result()

    def _side(self, into: _Collected, side: Side, flow: str, streams: Streams) -> Derivation | None:
        found = self._pool.installed(side.spec)
        if found.info.protocol < 2:
            if side.role == "output":
                into.add(_v1_lifecycle(into.task, side, found.info.version))
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
        answer = self.answer(side, flow, streams, self._recorded(into.task, side, flow))
        if answer.deferred:
            into.answers[flow, side.role] = answer
            into.deferred.extend(f"{side.spec.name}: {path}" for path in answer.deferred)
            return None
        fetch(found.info.resources, {item.type for item in answer.resources})
        secrets = {text for each in into.task.sides for text in texts_in(self._pool.secrets_of(each.spec))}
        answer = _with_all_secrets(answer, found.info, secrets)
        into.answers[flow, side.role] = answer
        for item in answer.resources:
            into.add(_required(into.task, side, item, found.info))
        into.released.update(derived_address(into.task, side, *pair) for pair in answer.released)
        into.warnings += (each for each in _named(answer.warnings, into.task) if each not in into.warnings)
        into.assess(answer.assessment, side, flow)
        return answer

    def answer(self, side: Side, flow: str, streams: Streams, assess: Mapping[str, Any] | None) -> Derivation:
        """Return the requirements of a side, as its provider answers."""
        found = self._pool.installed(side.spec)
        delivered = streams if side.role == "output" else None
        request = PlanRequest(flow, side.spec.wire(found.info), delivered, assess, self._pool.secrets_of(side.spec))
        session = self._pool.plan_session(side.spec)
        if session is not None:
            return session.derive(request)
        return derive(found.binary, found.info, side.role, request)


class _Collected:
    """The answers of one task received so far."""

    def __init__(self, task: TaskInstance) -> None:
        self.task = task
        self.objects: dict[str, DesiredObject] = {}
        self.streams: dict[str, Streams] = {}
        self.deferred: list[str] = []
        self.released: set[str] = set()
        self.problems: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.findings: list[Diagnostic] = []
        self.consequences: list[Consequence] = []
        self.answers: dict[tuple[str, str], Derivation] = {}

    def add(self, desired: DesiredObject) -> None:
        """Add an object; one that several flows require with the same attributes is one object."""
        same = self.objects.setdefault(desired.address, desired)
        if same.attributes != desired.attributes:
            raise DiagnosticsError(
                error(
                    "Conflicting objects of a task",
                    f"{desired.address} is required with different attributes.",
                    self.task.block.range,
                )
            )

    def assess(self, found: Assessment, side: Side, flow: str) -> None:
        """Add what a provider reports of the data; of an input with several flows, each has a position of its own."""
        of_flow = f" ({flow})" if len(self.task.outputs) > 1 and side.role == "input" else ""
        named = (replace(each, source=side.spec.name, text=each.text + of_flow) for each in found.consequences)
        self.consequences += (each for each in named if each not in self.consequences)
        placed = (finding_diagnostic(each, side.spec) for each in found.findings)
        self.findings += (each for each in placed if each not in self.findings)

    def result(self) -> RequiredObjects:
        """Return the requirements."""
        return RequiredObjects(
            tuple(self.objects.values()),
            self.streams,
            tuple(self.deferred),
            frozenset(self.released),
            tuple(self.problems),
            tuple(self.warnings),
            tuple(self.findings),
            tuple(self.consequences),
            self.answers,
        )


def _required(task: TaskInstance, side: Side, item: DerivedResource, info: ProviderInfo) -> DesiredObject:
    address = partial(derived_address, task, side)
    schema = info.resources.get(item.type)
    sensitive: frozenset[Path] = frozenset((name,) for name in schema.sensitive) if schema is not None else frozenset()
    return DesiredObject(
        address=address(item.type, item.key),
        block=str(task.address.block),
        provider=side.spec.name,
        type=item.type,
        key=item.key,
        attributes=from_json_value(item.attributes),
        sensitive=sensitive | frozenset(item.sensitive),
        dependencies=(*task.dependencies, *(address(*pair) for pair in item.depends_on)),
        lifecycle=_lifecycle_of(task.block.lifecycle, item),
        range=task.block.range,
        aliases=tuple(address(*pair) for pair in item.aliases),
        provider_prevents_destroy=item.prevent_destroy,
        timeouts=item.timeouts,
    )


def _v1_lifecycle(task: TaskInstance, side: Side, version: str) -> DesiredObject:
    config, paths = split_sensitive(side.spec.config)
    return DesiredObject(
        address=str(DerivedAddress(task.address, "output", side.label, _LIFECYCLE)),
        block=str(task.address.block),
        provider=side.spec.name,
        type=V1_LIFECYCLE,
        key=_LIFECYCLE,
        attributes={"config": config, "version": version},
        sensitive=frozenset(("config", *path) for path in paths),
        dependencies=task.dependencies,
        lifecycle=task.block.lifecycle,
        range=task.block.range,
    )


def _with_all_secrets(answer: Derivation, info: ProviderInfo, secrets: Collection[str]) -> Derivation:
    """Return an answer whose objects list all sensitive attributes: those of the type's schema and repeated secrets.

    The name of an object is shown even if it is made of a secret.
    """

    def named(item: DerivedResource) -> DerivedResource:
        schema = info.resources.get(item.type)
        more: set[Path] = {(name,) for name in schema.sensitive} if schema is not None else set()
        if secrets:
            names = schema.identity_attributes if schema is not None else ()
            more |= {path for path in repeated_secrets(item.attributes, secrets) if path[0] not in names}
        more -= set(item.sensitive)
        return replace(item, sensitive=(*item.sensitive, *sorted(more, key=repr))) if more else item

    return replace(answer, resources=tuple(map(named, answer.resources)))


def _lifecycle_of(task: Lifecycle, item: DerivedResource) -> Lifecycle:
    """Return the lifecycle of an object: the task's, combined with its provider's for this object."""
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
