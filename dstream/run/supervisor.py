"""The supervisor: runs a flow session after session, under the task's lease, until it has ended or cannot continue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.run.descriptors import allow_descriptors
from dstream.run.flow import Flow, RunOptions, RunOutcome, Status, Totals
from dstream.run.fork_servers import Begin, ForkServers, begin_alone
from dstream.run.reporter import Reporter
from dstream.run.run_context import Attempt, RunContext
from dstream.run.run_failure import run_failure
from dstream.run.session import Session
from dstream.run.session_end import SessionEnd
from dstream.stopping import Stop

if TYPE_CHECKING:
    from dstream_state import Holder, TaskLease, TaskStore, TaskView


Provide = Callable[[Flow, Sequence[Mapping[str, Any]]], Flow]
"""Creates what some streams need, and returns the flow that has them. Raises DiagnosticsError, or StateError."""
_SLICE = 0.5
"""Seconds to wait for a lease before looking whether a stop was requested."""


def run_flow(
    flow: Flow,
    store: TaskStore,
    options: RunOptions,
    reporter: Reporter,
    stop: Stop | None = None,
    *,
    session: type[Session] = Session,
    provide: Provide | None = None,
    begin: Begin = begin_alone,
) -> RunOutcome:
    """Run a flow until it ends; raise StateError if its lease cannot be had.

    Takes the lease of the task for all of the time, after ending what an earlier, killed runner has left behind.
    `provide` creates what streams need that the output meets on the way; without it, they end the run.
    `begin` starts the providers.
    """
    stop = stop or Stop()
    with _acquired(flow, store, options, reporter, stop) as lease:
        _check_objects(flow, lease)
        return Supervisor(RunContext(flow, lease, options, reporter, stop, begin), session, provide).run()


def _acquired(flow: Flow, store: TaskStore, options: RunOptions, reporter: Reporter, stop: Stop) -> TaskLease:
    """Return the lease of the task; raise StateLocked when it is not free in time or a stop is requested."""
    from dstream_state import StateLocked

    reported = False

    def on_wait(holder: Holder | None) -> None:
        nonlocal reported
        end_leftovers(store.read())
        if not reported:
            reported = True
            reporter.waiting(flow, holder.describe() if holder is not None else "another process")

    end_leftovers(store.read())
    # An orphan that was just ended may still hold the lock that it inherited.
    until = time.monotonic() + max(options.lock_timeout, 2.0)
    while True:
        try:
            return store.acquire("run", min(_SLICE, max(until - time.monotonic(), 0.0)), on_wait)
        except StateLocked:
            if stop.requested or time.monotonic() >= until:
                raise


def run_flows(
    flows: Sequence[tuple[Flow, TaskStore]],
    options: RunOptions,
    reporter: Reporter,
    stop: Stop,
    provide: Provide | None = None,
    ended: Callable[[Flow, RunOutcome], None] | None = None,
) -> list[RunOutcome]:
    """Run several flows at the same time, and return their outcomes in the order of `flows`.

    One that fails does not stop the others. The diagnostics of an outcome name its task. `ended` is called when one has
    ended, from a thread of its own.
    """
    outcomes: list[RunOutcome | None] = [None] * len(flows)
    servers = ForkServers(flow for flow, _ in flows)
    allow_descriptors(len(flows))

    def one(at: int, flow: Flow, store: TaskStore) -> None:
        outcome = _caught(
            flow, lambda: run_flow(flow, store, options, reporter, stop, provide=provide, begin=servers.begin)
        )
        outcomes[at] = outcome = replace(outcome, diagnostics=_addressed(outcome.diagnostics, flow))
        if ended is not None:
            ended(flow, outcome)

    threads = [
        threading.Thread(target=one, args=(at, flow, store), name=f"run {flow.name}", daemon=True)
        for at, (flow, store) in enumerate(flows)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # a signal handler runs between two joins
    servers.close()
    return [outcome for outcome in outcomes if outcome is not None]


def _caught(flow: Flow, run: Callable[[], RunOutcome]) -> RunOutcome:
    from dstream_state import StateError

    try:
        return run()
    except StateError as problem:
        return RunOutcome("failed", Totals(), diagnostics=(error(problem.summary, problem.detail),))
    except DiagnosticsError as problem:
        return RunOutcome("failed", Totals(), diagnostics=problem.diagnostics)
    except Exception as problem:  # noqa: BLE001 - the other flows continue, and the outcome reports it
        return RunOutcome("failed", Totals(), diagnostics=(run_failure(f"The run of {flow.name}", problem),))


def _addressed(diagnostics: tuple[Diagnostic, ...], flow: Flow) -> tuple[Diagnostic, ...]:
    address = flow.address or f"task.{flow.name}"
    return tuple(replace(each, address=each.address or address) for each in diagnostics)


def end_leftovers(view: TaskView) -> None:
    """End the providers that a dead runner on this host has left behind; does nothing while the runner lives."""
    from dstream_state.processes import alive, end, this_host

    holder = view.holder
    if holder is None or holder.host != this_host() or (not holder.released and alive(holder.pid, holder.started)):
        return
    for process in view.processes:
        if process.host == this_host():
            end(process.pid, process.started)


def _check_objects(flow: Flow, lease: TaskLease) -> None:
    """Refuse a checkpoint that belongs to objects that were replaced since."""
    checkpoint = lease.checkpoint
    if checkpoint is None or not checkpoint.objects or not flow.objects:
        return
    now = flow.objects
    changed = sorted(name for name, marker in checkpoint.objects.items() if name in now and now[name] != marker)
    if changed:
        what = (
            f"The checkpoint of {flow.name} belongs to an earlier {', '.join(changed)}, which was replaced since: "
            f"changes in between may be lost. To start over, run: dstream checkpoint reset {flow.name}"
        )
        raise DiagnosticsError(error("Checkpoint of an earlier object", what))


class Supervisor:
    """The sessions of one run."""

    def __init__(self, context: RunContext, session: type[Session], provide: Provide | None) -> None:
        """Run sessions of the type `session`; see `run_flow` for `provide`."""
        self._context, self._session, self._provide = context, session, provide
        self._number = 0
        self._current: Session | None = None
        context.lease.on_lost(self._lost)
        self._totals = Totals()
        self._failures = self._waits = self._careful = 0
        self._skip = context.options.skip_records
        self._beginning: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] | None = None

    def run(self) -> RunOutcome:
        """Run sessions until the flow has ended, is stopped, or cannot continue."""
        context = self._context
        while True:
            end = self._next_session()
            if end.kind != "failed":
                return self._outcome(end.kind, end)
            progressed = self._number == 1 or end.position != self._last
            if end.position != self._beginning:
                self._skip = 0
            self._last = end.position
            if end.failure.discovered and self._provide is not None and not context.stop.requested:
                problems = self._provided(end.failure.discovered)
                if problems:
                    return self._outcome("failed", end, problems)
                continue
            if end.failure.final or not self._restarts():
                return self._outcome("failed", end)
            if progressed:
                self._failures = self._waits = 0
            self._waits += 1
            self._failures += 1 if end.failure.counts else 0
            # One checkpoint at a time over what was under way, so that the checkpoint ends right before the culprit.
            self._careful = max(end.records - end.stored, 1)
            if self._failures >= context.options.attempts:
                return self._outcome("blocked", end, self._advice(end))
            delay = self._delay(end)
            context.reporter.restarting(context.flow, end.diagnostics, delay, self._waits)
            if context.stop.wait(delay):
                return self._outcome("stopped", end, ())

    def _delay(self, end: SessionEnd) -> float:
        options = self._context.options
        grown: float = min(options.first_delay * 2 ** (self._waits - 1), options.longest_delay)
        return max(grown, end.failure.retry_after)

    def _provided(self, streams: Sequence[Mapping[str, Any]]) -> tuple[Diagnostic, ...]:
        """Create what new streams need; return what went wrong."""
        from dstream_state import StateError

        assert self._provide is not None  # noqa: S101 - only called where there is one
        flow = self._context.flow
        self._context.reporter.discovered(flow, tuple(str(stream["name"]) for stream in streams))
        try:
            self._context = replace(self._context, flow=self._provide(flow, streams))
        except DiagnosticsError as problem:
            return problem.diagnostics
        except StateError as problem:
            return (error(problem.summary, problem.detail),)
        return ()

    def _lost(self) -> None:
        if self._current is not None:
            self._current.lease_lost()

    def _restarts(self) -> bool:
        """Return whether a session may follow: what a version 1 provider has delivered is not known."""
        flow = self._context.flow
        return flow.input.info.protocol >= 2 and flow.output.info.protocol >= 2

    def _next_session(self) -> SessionEnd:
        self._number += 1
        flow, options, totals = self._context.flow, self._context.options, self._totals
        attempt = Attempt(
            self._number,
            max_records=max(options.max_records - totals.stored, 1) if options.max_records is not None else None,
            skip=self._skip,
            careful=self._careful,
            max_dead_letters=(
                max(flow.max_dead_letters - totals.dead_letters, 0) if flow.max_dead_letters is not None else None
            ),
        )
        session = self._session(self._context, attempt)
        if self._number == 1:
            self._beginning = self._last = session.committer.position
        self._current = session
        end = session.run()
        self._totals = Totals(
            totals.records + end.records,
            totals.bytes + end.bytes,
            totals.stored + end.stored,
            totals.dead_letters + end.dead_letters,
            totals.text_lines + end.text_lines,
        )
        return end

    def _outcome(
        self, status: Status, end: SessionEnd, diagnostics: tuple[Diagnostic, ...] | None = None
    ) -> RunOutcome:
        found = end.diagnostics if diagnostics is None else diagnostics
        too_many = end.failure.too_many_dead_letters
        return RunOutcome(status, self._totals, end.position, found, self._number, too_many)

    def _advice(self, end: SessionEnd) -> tuple[Diagnostic, ...]:
        name = self._context.flow.name
        where = f"the same checkpoint ({end.position})" if end.position is not None else "the beginning"
        what = (
            f"{self._failures} sessions of {name} ended at {where}, so another one would too. If the cause lies "
            "outside, fix it and run the task again. If the first record after the checkpoint is at fault, leave it "
            f"out: dstream run {name} -skip-records 1 (or more). What is left out is kept: dstream dlq list {name}."
        )
        return (error("Blocked task", what), *end.diagnostics)
