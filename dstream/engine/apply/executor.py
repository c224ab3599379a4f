"""Executor: carries out the steps of a plan, in parallel, each recorded before and after.

One thread makes all decisions; provider processes answer through a queue. The results that arrived, and the intents of
the steps that may start next, become one durable block of the journal. A change therefore costs one short write,
whatever the size of the state, and nothing is started or reported before its cause is durable.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from functools import partial

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.apply.finalize import Finalizer, unchanged_object_records
from dstream.engine.apply.live_objects import LiveObjects
from dstream.engine.apply.progress import Progress
from dstream.engine.apply.step_graph import Step, build_steps, deposed_in_the_way, through_empty
from dstream.engine.apply.step_request import RunningStep, StepRequests
from dstream.engine.apply.step_result import StepResults, summaries
from dstream.engine.plan.plan_result import PlanResult
from dstream.plugins import Answer
from dstream_state import Drop, Intent, Put, Record, StateError

_RETRIES = 5


class Executor:
    """One pass over the steps of a plan."""

    def __init__(self, state: ApplyState, planned: PlanResult, parallelism: int) -> None:
        """Carry out `planned.plan`, at most `parallelism` changes at the same time."""
        self._state, self._planned, self._parallelism = state, planned, parallelism
        prior_needs = {address: item.dependencies for address, item in planned.snapshot.resources.items()}
        prior_needs = through_empty(prior_needs, planned.block_needs)
        in_the_way = deposed_in_the_way(planned.desired, planned.snapshot.resources)
        graph, self._steps = build_steps(planned.plan.changes, planned.block_needs, prior_needs, in_the_way)
        self.progress = Progress(graph, state.observer)
        self.unrecorded: list[Record] = []
        """Results of steps that could not be recorded."""
        self._live = LiveObjects(state, planned)
        self._requests = StepRequests(state, planned, self._live)
        self._results = StepResults(state, planned, self._live, self.progress)
        self._answers: queue.SimpleQueue[tuple[str, Answer] | None] = queue.SimpleQueue()
        self._arrived: deque[tuple[str, Answer]] = deque()
        """Answers to process next."""
        self._records: list[Record] = []
        """Records to write next."""
        self._running: dict[str, RunningStep] = {}
        self._delayed: list[RunningStep] = []
        self._draining = False

    def run(self) -> None:
        """Carry out the steps; failures are in `progress`.

        After any exception no further step starts; those in progress are awaited and their results recorded.
        Raises StateError if the journal cannot be written; the results are then in `unrecorded`.
        """
        with self._state.stop.listening(lambda: self._answers.put(None)):
            try:
                self._run()
            except StateError:
                self._drain()
                self.unrecorded += _results(self._records)
                raise
            except Exception:
                self._drain()
                self._record_each(_results(self._records))
                raise
        self._finish()

    def _run(self) -> None:
        walk, steps, observer = self.progress.walk, self._steps, self._state.observer
        observer.begun(len(steps), lambda: [steps[name].change.address for name in walk.ready() if name in steps])
        updates = self._planned.state_updates
        self._records = [*updates, *unchanged_object_records(self._planned, self._state.pool)]
        self._live.by_address.update((put.address, put.object) for put in self._records if isinstance(put, Put))
        self._live.record_specs({put.object.provider for put in updates if isinstance(put, Put)}, self._records)
        ended: list[tuple[RunningStep, bool]] = []
        while True:
            starting = self._startable()
            self._record_all()
            self._start(starting)
            # The providers are at work: there is time to report, what is done before what began after it.
            for done, succeeded in ended:
                if succeeded:
                    observer.done(done.step.change.address, done.step.kind, time.monotonic() - done.began)
            ended = []
            for running in starting:
                observer.started(running.step.change.address, running.step.kind)
            self._start_delayed()
            if not self._running and not self._delayed:
                if self._records:
                    continue
                if self._state.stop.requested or walk.finished or not starting:
                    break
                continue
            self._wait()
            while self._arrived:
                name, answer = self._arrived.popleft()
                running = self._running.pop(name)
                kept = self._take(running, answer)
                if kept is not None:
                    ended.append((running, kept))

    def _record_all(self) -> None:
        """Write the next records; if that fails for a reason other than the state, they stay for `run`."""
        self._record(self._records)
        self._records = []

    def _record(self, records: list[Record]) -> None:
        if not records:
            return
        try:
            self._state.held.append(records)
        except StateError:
            self.unrecorded += _results(records)
            self._records = []
            raise

    def _record_each(self, records: list[Record]) -> None:
        """Write the records one by one, without those that hold a value that the state cannot store.

        The intent of such a result stays pending, so that the next operation resolves it.
        """
        try:
            self._record(records)
        except ValueError:
            for record in records:
                with contextlib.suppress(ValueError):
                    self._record([record])

    def _drain(self) -> None:
        """Wait for the answers to the steps in progress, without retries.

        An answer that cannot be processed leaves its intent pending, so that the next operation resolves it.
        """
        self._draining = True
        for running in self._delayed:
            if running.last is not None:
                self._take_if_possible(running, running.last)
        while self._arrived or self._running:
            if not self._arrived:
                self._wait()
                continue
            name, answer = self._arrived.popleft()
            running_or_none = self._running.pop(name, None)
            if running_or_none is not None:
                self._take_if_possible(running_or_none, answer)

    def _take_if_possible(self, running: RunningStep, answer: Answer) -> None:
        # What is reported last is the problem that ended the apply; this one is a consequence, or found again later.
        with contextlib.suppress(Exception):
            self._take(running, answer)

    # -- starting ------------------------------------------------------------------------------------

    def _startable(self) -> list[RunningStep]:
        """Return the steps that may start now, and queue their intents."""
        starting: list[RunningStep] = []
        progress, observer = self.progress, self._state.observer
        while (
            not self._state.stop.requested
            and len(self._running) + len(self._delayed) + len(starting) < self._parallelism
        ):
            name = progress.walk.take()
            if name is None:
                break
            step = self._steps.get(name)
            if step is None:
                progress.walk.done(name)
            elif step.kind == "forget":
                self._forget(step)
                observer.done(step.change.address, "forget", 0.0)
            else:
                try:
                    running = self._requests.prepare(step, self._records)
                except DiagnosticsError as problem:
                    progress.fail(step, problem.diagnostics)
                    continue
                self._records.append(running.intent)
                starting.append(running)
        return starting

    def _forget(self, step: Step) -> None:
        self._records.append(Drop(step.change.address))
        self._live.by_address.pop(step.change.address, None)
        self.progress.done(step)

    def _start(self, starting: list[RunningStep]) -> None:
        """Send steps to their providers, those of one provider together."""
        by_provider: dict[str, list[RunningStep]] = {}
        for running in starting:
            by_provider.setdefault(running.step.change.provider, []).append(running)
        for provider, those in by_provider.items():
            self._state.held.ensure()
            session = self._state.pool.session(self._live.spec(provider))
            session.submit_all([(each.request, partial(self._arrives, each.step.name)) for each in those])
            for running in those:
                self._running[running.step.name] = running

    def _arrives(self, name: str, answer: Answer) -> None:
        self._answers.put((name, answer))

    def _start_delayed(self) -> None:
        """Restart the delayed steps that are due; after a stop request they end with their last answer."""
        now, stop = time.monotonic(), self._state.stop
        for running in [each for each in self._delayed if each.not_before <= now or stop.requested]:
            self._delayed.remove(running)
            if stop.requested and running.last is not None:
                self._take(running, running.last)
            else:
                self._start([running])

    def _wait(self) -> None:
        """Wait for answers and process all; return early when a delayed step is due or a stop is requested."""
        timeout = None
        if self._delayed and not self._draining:
            timeout = max(0.0, min(each.not_before for each in self._delayed) - time.monotonic())
        with contextlib.suppress(queue.Empty):
            arrived = self._answers.get(timeout=timeout)
            while True:
                if arrived is not None:
                    self._arrived.append(arrived)
                arrived = self._answers.get_nowait()

    # -- ending --------------------------------------------------------------------------------------

    def _take(self, running: RunningStep, answer: Answer) -> bool | None:
        """Process an answer; return whether the step succeeded, None if it continues or its result is unknown."""
        retriable = answer.status == "error" and answer.error_class == "retriable" and not answer.crashed
        if retriable and self._retry(running, answer):
            return None
        return self._results.take(running, answer, self._records)

    def _retry(self, running: RunningStep, answer: Answer) -> bool:
        if running.attempts >= _RETRIES or self._state.stop.requested or self._draining:
            return False
        running.attempts += 1
        running.last = answer
        pause = answer.retry_after if answer.retry_after is not None else min(2.0**running.attempts, 30.0) / 2
        running.not_before = time.monotonic() + pause
        self._delayed.append(running)
        self._state.observer.retrying(running.step.change.address, pause, summaries(answer.diagnostics))
        return True

    def _finish(self) -> None:
        """Record everything besides objects: applied tasks, outputs, unused providers."""
        progress, stop = self.progress, self._state.stop
        if not progress.walk.finished and not stop.requested:
            cycles = "; ".join(" -> ".join([*cycle, cycle[0]]) for cycle in progress.walk.cycles())
            progress.diagnostics.append(
                error(
                    "Cycle of steps",
                    f"{cycles}. The other steps are done and recorded. Remove create_before_destroy from one of these "
                    "blocks, or apply them one after the other with -target.",
                )
            )
        if stop.at_once:
            return
        finalizer = Finalizer(self._state, self._planned, self._live, progress.failed)
        records = finalizer.records(stopped=stop.requested)
        progress.diagnostics += finalizer.diagnostics
        self._record(records)


def _results(records: list[Record]) -> list[Record]:
    """Return the records without the intents of steps that did not start."""
    return [record for record in records if not isinstance(record, Intent)]
