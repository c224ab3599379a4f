"""Execution: carries out the steps of a plan, in parallel, each recorded before and after."""

from __future__ import annotations

import contextlib
import os
import queue
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.asking import Prior, meanings
from dstream.engine.comparison import planned_identity, prior_attributes
from dstream.engine.conditions import after, before, failed_checks, require
from dstream.engine.expansion import InstanceNames
from dstream.engine.exports import exported
from dstream.engine.observer import Observer
from dstream.engine.operation import Operation
from dstream.engine.outputs import output_value
from dstream.engine.planning import Prepared
from dstream.engine.providers import ProviderPool, ProviderSpec, make_spec
from dstream.engine.refresh import NOT_ASKED
from dstream.engine.rules import NO_RULES, Rules, rules_of
from dstream.engine.secrets import Path, has_withheld, redact, reveal, told
from dstream.engine.selection import DEPOSED
from dstream.engine.steps import Step, build_steps
from dstream.engine.tasks import LIFECYCLE, TaskInstance, task_instance
from dstream.engine.wanted import Wanted
from dstream.graph import Walk
from dstream.lang import contains_unknown, to_json_value
from dstream.plan import Action, Change
from dstream.plan.ignore_changes import with_ignored
from dstream.plugins import Answer, Request
from dstream.stopping import Stop
from dstream_state import (
    Drop,
    Held,
    Intent,
    ObjectState,
    OutputState,
    Put,
    PutOutput,
    PutProvider,
    PutTask,
    Record,
    Result,
    StateError,
    TaskState,
)

TIMEOUT = 1800.0
"""Seconds that a provider has for one change."""
_RETRIES = 5


@dataclass(slots=True)
class _Running:
    """One step that a provider is working on."""

    step: Step
    intent: Intent
    request: Request
    wanted: Wanted | None
    prior: ObjectState | None
    rules: Rules
    began: float
    attempts: int = 0
    not_before: float = 0.0
    last: Answer | None = None
    """What the provider said when it failed for now."""


class Execution:
    """One pass over the steps of a plan."""

    def __init__(
        self,
        operation: Operation,
        prepared: Prepared,
        held: Held,
        pool: ProviderPool,
        observer: Observer,
        stop: Stop,
        parallelism: int,
    ) -> None:
        """Carry out `prepared.plan` under the lock `held`, at most `parallelism` changes at the same time."""
        self.operation = operation
        self.prepared = prepared
        self.held = held
        self.pool = pool
        self.observer = observer
        self.stop = stop
        self.parallelism = parallelism
        self.key = prepared.snapshot.hmac_key
        self.objects: dict[str, ObjectState] = dict(prepared.snapshot.resources)
        self.specs: dict[str, ProviderSpec] = dict(prepared.specs)
        self.exports = prepared.exports
        self.scope = operation.module.scope(resources=self.exports)
        self.diagnostics: list[Diagnostic] = []
        self.cut_off: list[Intent] = []
        """Changes whose provider ended before it answered."""
        self.unrecorded: list[Record] = []
        """What providers answered when nothing could be recorded any more."""
        self.counts = {"add": 0, "change": 0, "destroy": 0}
        self._answers: queue.SimpleQueue[tuple[str, Answer] | None] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        self._delayed: list[_Running] = []
        self._draining = False
        self._recorded_specs: set[str] = set()
        self._rules_of: dict[tuple[str, str], Rules] = {}
        self._ids = _fresh_ids()
        self._task_names: dict[str, InstanceNames] = {}
        self._failed_blocks: set[str] = set()

    def run(self) -> None:
        """Carry out the steps; what fails is in `diagnostics`.

        Raises StateError when nothing more can be recorded; then no step begins any more, those that are under way are
        waited for, and what became of them is in `unrecorded`.
        """
        with self.stop.listening(lambda: self._answers.put(None)):
            try:
                self._run()
            except StateError:
                self._drain()
                raise
        self._finish()

    def _run(self) -> None:
        recorded = {a: o.dependencies for a, o in self.prepared.snapshot.resources.items()}
        graph, steps = build_steps(self.prepared.plan.changes, self.prepared.block_needs, recorded)
        self.walk = Walk(graph)
        self.observer.begun(len(steps), lambda: [steps[n].change.address for n in self.walk.ready() if n in steps])
        records: list[Record] = [*self.prepared.adoptions, *kept_records(self.prepared, self.pool)]
        self.objects.update((record.address, record.object) for record in records if isinstance(record, Put))
        for adoption in self.prepared.adoptions:
            if isinstance(adoption, Put) and adoption.object.provider in self.specs:
                self._spec(adoption.object.provider, records)
        ended: list[tuple[_Running, bool]] = []
        while True:
            starting = self._startable(steps, records)
            if records:
                self._record(records)
                records = []
            for done, succeeded in ended:
                self._tell(done, succeeded)
            ended = []
            self._start(starting)
            self._start_delayed(records)
            if not self._running and not self._delayed:
                if records:
                    continue
                if self.stop.requested or self.walk.finished or not starting:
                    break
                continue
            for name, answer in self._arrived():
                running = self._running.pop(name)
                kept = self._take(running, answer, records)
                if kept is not None:
                    ended.append((running, kept))

    def _record(self, records: list[Record]) -> None:
        try:
            self.held.append(records)
        except StateError:
            # An intent among them is of a step that has not begun.
            self.unrecorded += (record for record in records if not isinstance(record, Intent))
            raise

    def _drain(self) -> None:
        """Wait for the answers to what is under way; nothing is tried again."""
        self._draining = True
        for running in self._delayed:
            if running.last is not None:
                self._take(running, running.last, self.unrecorded)
        while self._running:
            for name, answer in self._arrived():
                self._take(self._running.pop(name), answer, self.unrecorded)

    # -- starting ------------------------------------------------------------------------------------

    def _startable(self, steps: Mapping[str, Step], records: list[Record]) -> list[_Running]:
        """Take the steps that may start now; their intents are added to the records."""
        starting: list[_Running] = []
        while not self.stop.requested and len(self._running) + len(self._delayed) + len(starting) < self.parallelism:
            name = self.walk.take()
            if name is None:
                break
            step = steps.get(name)
            if step is None:
                self.walk.done(name)
                continue
            if step.kind == "forget":
                records.append(Drop(step.change.address))
                self.objects.pop(step.change.address, None)
                self.walk.done(name)
                self.observer.done(step.change.address, "forget", 0.0)
                continue
            try:
                running = self._prepare(step, records)
            except DiagnosticsError as problem:
                self._fail(step, problem.diagnostics)
                continue
            records.append(running.intent)
            starting.append(running)
        return starting

    def _prepare(self, step: Step, records: list[Record]) -> _Running:
        change = step.change
        spec = self._spec(change.provider, records)
        rules = self._rules(spec, change.type)
        prior = self.objects.get(change.address + DEPOSED if step.deposed else change.address)
        wanted = None if step.kind == "destroy" else self.prepared.wanted[change.address]
        if wanted is not None and wanted.unknown:
            wanted = self._evaluated_again(wanted)
            if rules.plans and wanted.unknown is False:
                wanted = self._planned_again(wanted, spec, rules, prior if step.kind == "update" else None)
        if wanted is not None:
            wanted = self._ignoring(wanted, change)
            problems = list(before(wanted, self.scope))
            if problems:
                raise DiagnosticsError(problems)
        if step.kind == "create" and change.action is Action.CREATE_THEN_DELETE and prior is not None:
            records += [Put(change.address + DEPOSED, prior), Drop(change.address)]
            self.objects[change.address + DEPOSED] = self.objects.pop(change.address)
            prior = None
        if step.kind == "create":
            prior = None
        identity = prior.identity if prior is not None else None
        if wanted is not None and identity is None:
            identity = planned_identity(wanted.attributes, rules)
        desired = None if wanted is None else _with_defaults(wanted.attributes, rules)
        redacted = None if wanted is None else redact(desired, wanted.sensitive, self.key)
        intent = Intent(
            id=next(self._ids),
            action=step.kind,
            address=change.address + (DEPOSED if step.deposed else ""),
            provider=spec.name,
            type=change.type,
            key=change.key or change.address,
            identity=identity,
            desired=redacted,
            timeout=TIMEOUT,
            at=time.time(),
            planned=step.kind == "create" and identity is not None,
            dependencies=() if wanted is None else wanted.dependencies,
        )
        request = Request(
            command="destroy" if step.kind == "destroy" else "init",
            type=change.type,
            key=change.key or change.address,
            identity=identity,
            desired=None if desired is None else to_json_value(desired),
            prior=self._told(prior, wanted, change.address),
            private=self._private(prior, change.address),
            sensitive=None if wanted is None else [list(path) for path in sorted(wanted.sensitive, key=str)] or None,
            intent=intent.id,
            timeout=TIMEOUT,
        )
        return _Running(step, intent, request, wanted, prior, rules, time.monotonic())

    def _rules(self, spec: ProviderSpec, type_: str) -> Rules:
        known = self._rules_of.get((spec.name, type_))
        if known is None:
            known = rules_of(self.pool.installed(spec).info, type_) or NO_RULES
            self._rules_of[spec.name, type_] = known
        return known

    def _private(self, prior: ObjectState | None, address: str) -> Any:
        """Return the provider's own note on an object: as it was refreshed, else as it was recorded."""
        if prior is None:
            return None
        reality = self.prepared.realities.get(address, NOT_ASKED)
        return reality.private if reality.private is not None else prior.private

    def _planned_again(self, wanted: Wanted, spec: ProviderSpec, rules: Rules, prior: ObjectState | None) -> Wanted:
        """Have the provider plan once more what could not be planned whole; names that it generated then stay."""
        planned = self.prepared.wanted[wanted.address].attributes
        kept = {name: value for name, value in planned.items() if not contains_unknown(value)}
        before = None
        if prior is not None:
            before = Prior(prior.identity, prior.attributes, self._private(prior, wanted.address))
        wish = replace(wanted, attributes={**kept, **wanted.attributes})
        return meanings(self.pool.session(spec), [(wish, before)], rules, self.key)[0].wanted

    def _told(self, prior: ObjectState | None, wanted: Wanted | None, address: str) -> Any:
        if prior is None:
            return None
        reality = self.prepared.realities.get(address, NOT_ASKED)
        paths = {*prior.sensitive, *(wanted.sensitive if wanted is not None else ())}
        before = prior_attributes(prior, reality, paths, self.key) or {}
        wished = wanted.attributes if wanted is not None else None
        return told(before, paths, self.key, wished, prior.attributes, reality.attributes)

    def _evaluated_again(self, wanted: Wanted) -> Wanted:
        if wanted.evaluate is None:
            spec = self.specs[wanted.provider]
            attributes = {"config": spec.wire(), "version": self.pool.installed(spec).info.version}
            return replace(wanted, attributes=attributes)
        attributes, paths = wanted.evaluate(self.scope)
        if contains_unknown(attributes):
            raise DiagnosticsError(
                error(
                    "Value is still not known",
                    "What this object needs was applied, and did not give the value. Its provider does not "
                    "return an attribute that it announced.",
                    address=wanted.address,
                )
            )
        return replace(wanted, attributes=attributes, sensitive=wanted.sensitive | paths)

    def _ignoring(self, wanted: Wanted, change: Change) -> Wanted:
        """Return what is wanted with the ignored attributes as they are.

        A secret that nobody can tell is as it is configured: a provider takes nothing else for it.
        """
        ignored = wanted.lifecycle.ignore_changes
        if change.before is None or not ignored:
            return wanted
        reality = self.prepared.realities.get(wanted.address)
        real = reveal(change.before, reality.attributes if reality is not None else None)
        names = ("*",) if ignored == "all" else ignored
        attributes = with_ignored(wanted.attributes, real, names, lambda value: not has_withheld(value))
        return replace(wanted, attributes=attributes)

    def _spec(self, name: str, records: list[Record]) -> ProviderSpec:
        spec = self.specs[name]
        if spec.unknown:
            spec = self._spec_again(spec)
            self.specs[name] = spec
        if name not in self._recorded_specs:
            info = self.pool.installed(spec).info
            recorded = spec.recorded(info.version)
            if self.prepared.snapshot.providers.get(name) != recorded:
                records.append(PutProvider(name, recorded))
            self._recorded_specs.add(name)
        return spec

    def _spec_again(self, spec: ProviderSpec) -> ProviderSpec:
        config = self.operation.config
        for task in self.prepared.tasks.values():
            for side in task.sides:
                if side.spec.name == spec.name:
                    fresh = self._task_again(task)
                    return next(each.spec for each in fresh.sides if each.spec.name == spec.name)
        block = config.providers[spec.name.partition(".")[2]]
        return make_spec(
            spec.name, block.launch, block.config, "resource", self.scope, config, default=spec.source.value
        )

    def _task_again(self, task: TaskInstance) -> TaskInstance:
        """Evaluate the sides of a task once more, when what was unknown is known."""
        block = task.block
        names = self._task_names.setdefault(block.name, InstanceNames(block.for_each, block.count)).of(self.scope)
        return task_instance(block, task.address.key, self.scope.bind(names[task.address.key]), self.operation.config)

    def _start(self, starting: list[_Running]) -> None:
        """Have the providers work on steps; those of one provider are sent together."""
        by_provider: dict[str, list[_Running]] = {}
        for running in starting:
            by_provider.setdefault(running.step.change.provider, []).append(running)
        for provider, those in by_provider.items():
            self.held.ensure()
            for running in those:
                self._running[running.step.name] = running
                if not running.attempts:
                    self.observer.started(running.step.change.address, running.step.kind)
            session = self.pool.session(self.specs[provider])
            session.submit_all([(each.request, partial(self._arrives, each.step.name)) for each in those])

    def _arrives(self, name: str, answer: Answer) -> None:
        self._answers.put((name, answer))

    def _start_delayed(self, records: list[Record]) -> None:
        """Start those again whose time has come; on the way to a stop, what they were last told is how they end."""
        now = time.monotonic()
        for running in [each for each in self._delayed if each.not_before <= now or self.stop.requested]:
            self._delayed.remove(running)
            if self.stop.requested and running.last is not None:
                self._take(running, running.last, records)
            else:
                self._start([running])

    def _arrived(self) -> list[tuple[str, Answer]]:
        """Wait for an answer and return all that are there; none when a delayed step is due, or a stop asked for."""
        wait = None
        if self._delayed:
            wait = max(0.0, min(each.not_before for each in self._delayed) - time.monotonic())
        found: list[tuple[str, Answer]] = []
        with contextlib.suppress(queue.Empty):
            arrived = self._answers.get(timeout=wait)
            while True:
                if arrived is not None:
                    found.append(arrived)
                arrived = self._answers.get_nowait()
        return found

    # -- ending --------------------------------------------------------------------------------------

    def _take(self, running: _Running, answer: Answer, records: list[Record]) -> bool | None:
        """Take an answer in; return whether the step succeeded, or None if it goes on or nobody knows."""
        if answer.crashed:
            self.cut_off.append(running.intent)
            self._fail(running.step, answer.diagnostics)
            return None
        if answer.status == "error" and answer.error_class == "retriable" and self._retry(running, answer):
            return None
        gone = answer.status == "gone" or (answer.status == "ok" and running.step.kind == "destroy")
        if gone and running.step.kind != "destroy":
            self._fail(
                running.step,
                (
                    error(
                        "Object vanished",
                        "Its provider says that it no longer exists.",
                        address=running.step.change.address,
                    ),
                ),
            )
            records.append(Result(running.intent.id, "gone"))
            self.objects.pop(running.intent.address, None)
            return False
        if gone:
            records.append(Result(running.intent.id, "ok"))
            self.objects.pop(running.intent.address, None)
            self.walk.done(running.step.name)
            self._count(running)
            return True
        if answer.status == "ok":
            item = self._object(running, answer, "ok")
            records.append(Result(running.intent.id, "ok", item))
            self.objects[running.intent.address] = item
            self._export(running, answer, item)
            self._count(running)
            problems = self._after(running, answer, item)
            if problems:
                # It is there, and recorded; what needs it does not get it as it is.
                self._fail(running.step, problems)
                return False
            self.walk.done(running.step.name)
            return True
        if running.intent.type == LIFECYCLE and running.step.kind == "update":
            # Nobody can ask version 1 how far it came: what it has is not what was applied before, so it is done again.
            forgotten = replace(self.objects[running.intent.address], attributes={})
            records.append(Result(running.intent.id, "error", forgotten, _text(answer.diagnostics)))
            self._fail(running.step, answer.diagnostics)
            return False
        created = running.step.kind == "create" and answer.identity is not None
        item_or_none = self._object(running, answer, "tainted") if created else None
        records.append(Result(running.intent.id, "error", item_or_none, _text(answer.diagnostics)))
        if item_or_none is not None:
            self.objects[running.intent.address] = item_or_none
        elif running.step.kind == "create" and running.step.change.action is Action.CREATE_THEN_DELETE:
            records += self._back_in_place(running.step.change.address)
        self._fail(running.step, answer.diagnostics)
        return False

    def _back_in_place(self, address: str) -> list[Record]:
        """The new object was not made: the earlier one is what it was."""
        item = self.objects.pop(address + DEPOSED)
        self.objects[address] = item
        return [Put(address, item), Drop(address + DEPOSED)]

    def _retry(self, running: _Running, answer: Answer) -> bool:
        if running.attempts >= _RETRIES or self.stop.requested or self._draining:
            return False
        running.attempts += 1
        running.last = answer
        pause = answer.retry_after if answer.retry_after is not None else min(2.0**running.attempts, 30.0) / 2
        running.not_before = time.monotonic() + pause
        self._delayed.append(running)
        self.observer.retrying(running.step.change.address, pause, _text(answer.diagnostics))
        return True

    def _object(self, running: _Running, answer: Answer, status: Any) -> ObjectState:
        wanted = running.wanted
        if wanted is None:
            raise AssertionError("only steps that leave an object have one")
        paths: set[Path] = {*wanted.sensitive, *running.rules.sensitive_paths}
        told_back = answer.attributes if answer.attributes is not None else {}
        clear = {**_with_defaults(wanted.attributes, running.rules), **told_back}
        clear = reveal_withheld(clear, wanted.attributes)
        return ObjectState(
            provider=running.intent.provider,
            type=running.intent.type,
            key=running.intent.key,
            identity=answer.identity if answer.identity is not None else running.intent.identity,
            attributes=clear if self.operation.encrypted else redact(clear, paths, self.key),
            private=answer.private if answer.private is not None else running.prior.private if running.prior else None,
            dependencies=wanted.dependencies,
            sensitive=tuple(sorted(paths, key=str)),
            schema_version=running.rules.version,
            status=status,
            holds_data=running.rules.holds_data,
            create_before_destroy=wanted.lifecycle.create_before_destroy,
        )

    def _export(self, running: _Running, answer: Answer, item: ObjectState) -> None:
        wanted = running.wanted
        if wanted is None or wanted.block.startswith("task."):
            return

        make = partial(_value, wanted, answer, item)
        self.exports.set(wanted.type, wanted.block.partition(".")[2], wanted.instance, make)

    def _after(self, running: _Running, answer: Answer, item: ObjectState) -> tuple[Diagnostic, ...]:
        """Return what the conditions of an object say about it as it became."""
        wanted = running.wanted
        if wanted is None or not wanted.lifecycle.postconditions:
            return ()
        return tuple(after(wanted, self.scope, _value(wanted, answer, item)))

    def _count(self, running: _Running) -> None:
        self.counts[{"create": "add", "update": "change", "destroy": "destroy"}[running.step.kind]] += 1

    def _fail(self, step: Step, diagnostics: tuple[Diagnostic, ...]) -> None:
        address = step.change.address
        found = [d if d.address else replace(d, address=address) for d in diagnostics]
        self.diagnostics.extend(found or [error("Provider reported an error", "It gave no reason.", address=address)])
        self.observer.failed(address, step.kind)
        self._failed_blocks.add(address)
        for name in self.walk.failed(step.name):
            kind, _, skipped = name.partition(" ")
            if kind not in ("gate", "released"):
                self._failed_blocks.add(skipped)
                self.observer.skipped(skipped, address)

    def _tell(self, running: _Running, succeeded: bool) -> None:
        if succeeded:
            self.observer.done(running.step.change.address, running.step.kind, time.monotonic() - running.began)

    # -- afterwards ----------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Record what is no change of an object: tasks that are now applied, outputs, providers out of use."""
        if not self.walk.finished and not self.stop.requested:
            loops = "; ".join(" -> ".join([*loop, loop[0]]) for loop in self.walk.loops())
            self.diagnostics.append(
                error(
                    "Steps wait for each other",
                    f"{loops}. What did not wait is done and recorded. Take create_before_destroy out of one of these, "
                    "or apply them one after the other with -target.",
                )
            )
        if self.stop.at_once:
            return
        records: list[Record] = []
        plan = self.prepared.plan
        for note in plan.tasks:
            task = self.prepared.tasks.get(note.address)
            if plan.destroy or task is None:
                if note.address in self.prepared.snapshot.tasks and not self._any_left(note.address):
                    records.append(PutTask(note.address, None))
            elif not note.applied and not self._touches_failure(note.address) and not self.stop.requested:
                state = TaskState(self._fingerprint(note.address), _now(), task.discovered)
                records.append(PutTask(note.address, state))
        for output in plan.outputs:
            if output.action is Action.DELETE:
                records.append(PutOutput(output.name, None))
            elif output.action is not Action.NO_OP:
                value = self._output(output.name)
                if value is not None:
                    records.append(PutOutput(output.name, value))
        if plan.destroy and not self.objects:
            records += [PutOutput(name, None) for name in self.prepared.snapshot.outputs]
        if not plan.destroy and not self.stop.requested:
            self.diagnostics += self._conditions()
        used = {item.provider for item in self.objects.values()}
        records += [PutProvider(name, None) for name in self.held.current().providers if name not in used]
        if records:
            self.held.append(records)

    def _conditions(self) -> Iterator[Diagnostic]:
        """Yield what the conditions of objects that stay as they are say now that all is known, and the checks."""
        for change in self.prepared.plan.changes:
            wanted = self.prepared.wanted.get(change.address)
            if wanted is None or change.action is not Action.NO_OP:
                continue
            yield from before(wanted, self.scope)
            item = self.objects.get(change.address)
            if item is not None and wanted.lifecycle.postconditions:
                clear = reveal(item.attributes, wanted.attributes)
                yield from after(wanted, self.scope, exported(clear, item.sensitive, wanted.address))
        yield from failed_checks(self.operation.config, self.scope)

    def _any_left(self, task: str) -> bool:
        return any(address.startswith(f"{task}.") for address in self.objects)

    def _touches_failure(self, task: str) -> bool:
        block = task.split("[", 1)[0]
        needed = {block, *self.prepared.block_needs.get(block, ())}
        return any(
            address.startswith(tuple(f"{name}." for name in needed)) or address in needed
            for address in self._failed_blocks
        )

    def _fingerprint(self, address: str) -> str:
        task = self.prepared.tasks[address]
        fresh = self._task_again(task) if any(side.spec.unknown for side in task.sides) else task
        return fresh.fingerprint(self.pool, self.key)

    def _output(self, name: str) -> OutputState | None:
        block = self.operation.config.outputs[name]
        try:
            require(block.preconditions, self.scope, "Precondition not met", f"output.{name}")
            value, sensitive = output_value(block, self.scope)
        except DiagnosticsError as problem:
            self.diagnostics.extend(problem.diagnostics)
            return None
        if contains_unknown(value):
            return None
        kept = value if self.operation.encrypted or not sensitive else redact(value, [()], self.key)
        return OutputState(kept, sensitive)


def _value(wanted: Wanted, answer: Answer, item: ObjectState) -> Any:
    """Return an object as expressions see it."""
    clear = reveal(item.attributes, wanted.attributes, answer.attributes)
    return exported(clear, item.sensitive, wanted.address)


def _fresh_ids() -> Iterator[str]:
    """Yield random UUIDs; what is random is taken from the system for many at a time."""
    while True:
        noise = os.urandom(16 * 256)
        for start in range(0, len(noise), 16):
            yield str(uuid.UUID(bytes=noise[start : start + 16], version=4))


def _with_defaults(attributes: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    found = {name: value for name, value in rules.defaults.items() if value is not None}
    found.update((name, value) for name, value in attributes.items() if value is not None)
    return found


def kept_records(prepared: Prepared, pool: ProviderPool) -> list[Record]:
    """Return what the state has to know anew of objects that stay as they are, and of their providers."""
    snapshot = prepared.snapshot
    found: list[Record] = []
    for change in prepared.plan.changes:
        item = snapshot.resources.get(change.address)
        if change.action is Action.NO_OP and item is not None and change.address in prepared.wanted:
            wanted = prepared.wanted[change.address]
            new_first = wanted.lifecycle.create_before_destroy
            if item.dependencies != wanted.dependencies or item.create_before_destroy != new_first:
                kept = replace(item, dependencies=wanted.dependencies, create_before_destroy=new_first)
                found.append(Put(change.address, kept))
    for name in sorted({item.provider for item in snapshot.resources.values()}):
        spec = prepared.specs.get(name)
        if spec is not None and not spec.unknown:
            recorded = spec.recorded(pool.installed(spec).info.version)
            if snapshot.providers.get(name) != recorded:
                found.append(PutProvider(name, recorded))
    return found


def reveal_withheld(value: Mapping[str, Any], clear: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a provider answered, with the desired value in place of what it withheld."""
    return {
        name: clear.get(name) if isinstance(inner, dict) and "$withheld" in inner else inner
        for name, inner in value.items()
    }


def _text(diagnostics: tuple[Diagnostic, ...]) -> str:
    return "; ".join(d.summary for d in diagnostics)


def _now() -> str:
    from dstream_state.clock import now

    return now()
