"""Execution: carries out the steps of a plan, in parallel, each recorded before and after."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.apply.finalize import Finalizer, unchanged_object_records
from dstream.engine.apply.step_graph import Step, build_steps
from dstream.engine.apply.step_request import RunningStep, StepRequests, with_defaults
from dstream.engine.evaluate.conditions import check_postconditions
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.redaction import Path, echoed_secrets, redact, reveal
from dstream.engine.evaluate.resource_values import mark_sensitive
from dstream.engine.evaluate.targeting import DEPOSED
from dstream.engine.evaluate.timeouts import out_of_time
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.type_rules import ResourceTypeRules
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.graph import Walk
from dstream.plan import Action
from dstream.plugins import Answer
from dstream.stopping import Stop
from dstream_state import (
    V1_LIFECYCLE,
    Drop,
    Held,
    Intent,
    ObjectState,
    Put,
    Record,
    Result,
    StateError,
)

_RETRIES = 5


class Executor:
    """One pass over the steps of a plan."""

    def __init__(
        self,
        operation: Operation,
        prepared: PlanResult,
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
        self.preparing = StepRequests(operation, prepared, pool)
        self.key, self.objects = self.preparing.key, self.preparing.objects
        self.specs, self.scope = self.preparing.specs, self.preparing.scope
        self.resource_values = prepared.resource_values
        self.diagnostics: list[Diagnostic] = []
        self.cut_off: list[Intent] = []
        """Changes whose provider ended before it answered."""
        self.unrecorded: list[Record] = []
        """What providers answered when nothing could be recorded any more."""
        self.counts = {"add": 0, "change": 0, "destroy": 0}
        self._answers: queue.SimpleQueue[tuple[str, Answer] | None] = queue.SimpleQueue()
        self._running: dict[str, RunningStep] = {}
        self._delayed: list[RunningStep] = []
        self._draining = False
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
        records: list[Record] = [*self.prepared.state_updates, *unchanged_object_records(self.prepared, self.pool)]
        self.objects.update((record.address, record.object) for record in records if isinstance(record, Put))
        for update in self.prepared.state_updates:
            if isinstance(update, Put) and update.object.provider in self.specs:
                self.preparing.spec(update.object.provider, records)
        ended: list[tuple[RunningStep, bool]] = []
        while True:
            starting = self._startable(steps, records)
            if records:
                self._record(records)
                records = []
            self._start(starting)
            # The providers are at work: there is time to talk, of what is done before what began after it.
            for done, succeeded in ended:
                self._tell(done, succeeded)
            ended = []
            for running in starting:
                self.observer.started(running.step.change.address, running.step.kind)
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

    def _startable(self, steps: Mapping[str, Step], records: list[Record]) -> list[RunningStep]:
        """Take the steps that may start now; their intents are added to the records."""
        starting: list[RunningStep] = []
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
                running = self.preparing.prepare(step, records)
            except DiagnosticsError as problem:
                self._fail(step, problem.diagnostics)
                continue
            records.append(running.intent)
            starting.append(running)
        return starting

    def _start(self, starting: list[RunningStep]) -> None:
        """Have the providers work on steps; those of one provider are sent together."""
        by_provider: dict[str, list[RunningStep]] = {}
        for running in starting:
            by_provider.setdefault(running.step.change.provider, []).append(running)
        for provider, those in by_provider.items():
            self.held.ensure()
            for running in those:
                self._running[running.step.name] = running
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

    def _take(self, running: RunningStep, answer: Answer, records: list[Record]) -> bool | None:
        """Take an answer in; return whether the step succeeded, or None if it goes on or nobody knows."""
        if answer.crashed:
            self.cut_off.append(running.intent)
            self._fail(running.step, self._told(running, answer))
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
        if running.intent.type == V1_LIFECYCLE and running.step.kind == "update":
            # Nobody can ask version 1 how far it came: what it has is not what was applied before, so it is done again.
            forgotten = replace(self.objects[running.intent.address], attributes={})
            records.append(Result(running.intent.id, "error", forgotten, _summaries(answer.diagnostics)))
            self._fail(running.step, answer.diagnostics)
            return False
        created = running.step.kind == "create" and answer.identity is not None
        item_or_none = self._object(running, answer, "tainted") if created else None
        records.append(Result(running.intent.id, "error", item_or_none, _summaries(answer.diagnostics)))
        if item_or_none is not None:
            self.objects[running.intent.address] = item_or_none
        elif running.step.kind == "create" and running.step.change.action is Action.CREATE_THEN_DELETE:
            records += self._back_in_place(running.step.change.address)
        self._fail(running.step, answer.diagnostics)
        return False

    def _told(self, running: RunningStep, answer: Answer) -> tuple[Diagnostic, ...]:
        """Return what is said of a change whose provider ended before it answered."""
        if not answer.late:
            return answer.diagnostics
        address, subject = running.step.change.address, running.desired.range if running.desired is not None else None
        what, declared = (address, running.step.kind, running.intent.timeout), self.prepared.declares(address)
        return (out_of_time(*what, answer.diagnostics, subject, declared=declared),)

    def _back_in_place(self, address: str) -> list[Record]:
        """The new object was not made: the earlier one is what it was."""
        item = self.objects.pop(address + DEPOSED)
        self.objects[address] = item
        return [Put(address, item), Drop(address + DEPOSED)]

    def _retry(self, running: RunningStep, answer: Answer) -> bool:
        if running.attempts >= _RETRIES or self.stop.requested or self._draining:
            return False
        running.attempts += 1
        running.last = answer
        pause = answer.retry_after if answer.retry_after is not None else min(2.0**running.attempts, 30.0) / 2
        running.not_before = time.monotonic() + pause
        self._delayed.append(running)
        self.observer.retrying(running.step.change.address, pause, _summaries(answer.diagnostics))
        return True

    def _object(self, running: RunningStep, answer: Answer, status: Any) -> ObjectState:
        desired = running.desired
        if desired is None:
            raise AssertionError("only steps that leave an object have one")
        paths: set[Path] = {*desired.sensitive, *running.rules.sensitive_paths}
        told_back = answer.attributes if answer.attributes is not None else {}
        clear = {**with_defaults(desired.attributes, running.rules), **told_back}
        clear = fill_withheld(clear, desired.attributes)
        paths |= echoed_secrets(told_back, desired.attributes, paths, self.operation.secrets)
        return ObjectState(
            provider=running.intent.provider,
            type=running.intent.type,
            key=running.intent.key,
            identity=answer.identity if answer.identity is not None else running.intent.identity,
            attributes=clear if self.operation.encrypted else redact(clear, paths, self.key),
            private=answer.private if answer.private is not None else running.prior.private if running.prior else None,
            dependencies=desired.dependencies,
            sensitive=tuple(sorted(paths, key=str)),
            schema_version=running.rules.version,
            status=status,
            holds_data=running.rules.holds_data,
            create_before_destroy=desired.lifecycle.create_before_destroy,
            prevent_destroy=desired.provider_prevents_destroy,
            timeouts=desired.timeouts,
        )

    def _export(self, running: RunningStep, answer: Answer, item: ObjectState) -> None:
        desired = running.desired
        if desired is None or desired.block.startswith("task."):
            return

        make = partial(_value, desired, answer, item, running.rules)
        self.resource_values.set(desired.type, desired.block.partition(".")[2], desired.instance, make)

    def _after(self, running: RunningStep, answer: Answer, item: ObjectState) -> tuple[Diagnostic, ...]:
        """Return what the conditions of an object say about it as it became."""
        desired = running.desired
        if desired is None or not desired.lifecycle.postconditions:
            return ()
        return tuple(check_postconditions(desired, self.scope, _value(desired, answer, item, running.rules)))

    def _count(self, running: RunningStep) -> None:
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

    def _tell(self, running: RunningStep, succeeded: bool) -> None:
        if succeeded:
            self.observer.done(running.step.change.address, running.step.kind, time.monotonic() - running.began)

    # -- afterwards ----------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Record what is no change of an object: tasks that are now applied, outputs, providers out of use."""
        if not self.walk.finished and not self.stop.requested:
            cycles = "; ".join(" -> ".join([*cycle, cycle[0]]) for cycle in self.walk.cycles())
            self.diagnostics.append(
                error(
                    "Steps wait for each other",
                    f"{cycles}. The other steps are done and recorded. Remove create_before_destroy from one of these "
                    "blocks, or apply them one after the other with -target.",
                )
            )
        if self.stop.at_once:
            return
        closing = Finalizer(self.preparing, self.held.current().providers, self._failed_blocks)
        records = closing.records(stopped=self.stop.requested)
        self.diagnostics += closing.diagnostics
        if records:
            self._record(records)


def _value(desired: DesiredObject, answer: Answer, item: ObjectState, rules: ResourceTypeRules) -> Any:
    """Return an object as expressions see it."""
    clear = reveal(item.attributes, desired.attributes, answer.attributes)
    return mark_sensitive(rules.implied_type.complete(clear), item.sensitive, desired.address)


def fill_withheld(value: Mapping[str, Any], clear: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a provider answered, with the desired value in place of what it withheld."""
    return {
        name: clear.get(name) if isinstance(inner, dict) and "$withheld" in inner else inner
        for name, inner in value.items()
    }


def _summaries(diagnostics: tuple[Diagnostic, ...]) -> str:
    return "; ".join(d.summary for d in diagnostics)
