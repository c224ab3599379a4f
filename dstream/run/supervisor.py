"""The supervisor: runs a flow session after session, under the task's lease, until it has ended or cannot go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.run.flow import Flow, RunOptions, RunOutcome, Status, Totals
from dstream.run.reporter import Reporter
from dstream.run.session import Session, SessionEnd
from dstream.stopping import Stop

if TYPE_CHECKING:
    from dstream_state import Holder, TaskLease, TaskStore, TaskView


Provide = Callable[[Flow, Sequence[Mapping[str, Any]]], Flow]
"""Creates what some streams need, and returns the flow that has them. Raises DiagnosticsError, or StateError."""
_SLICE = 0.5
"""How long to wait for a lease without looking whether a stop was asked for."""


def run_flow(
    flow: Flow,
    store: TaskStore,
    options: RunOptions,
    reporter: Reporter,
    stop: Stop | None = None,
    *,
    session: type[Session] = Session,
    provide: Provide | None = None,
) -> RunOutcome:
    """Run a flow until it ends; raise StateError if its lease cannot be had.

    Takes the lease of the task for all of the time, after ending what an earlier, killed runner has left behind.
    `provide` creates what streams need that the output meets on the way; without it, they end the run.
    """
    stop = stop or Stop()
    with _acquired(flow, store, options, reporter, stop) as lease:
        _check_objects(flow, lease)
        return _Supervisor(flow, lease, options, reporter, stop, session, provide).run()


def _acquired(flow: Flow, store: TaskStore, options: RunOptions, reporter: Reporter, stop: Stop) -> TaskLease:
    """Return the lease of the task; raise StateLocked when it is not free in time or a stop is asked for."""
    from dstream_state import StateLocked

    told = False

    def on_wait(holder: Holder | None) -> None:
        nonlocal told
        end_leftovers(store.read())
        if not told:
            told = True
            reporter.waiting(flow, holder.describe() if holder is not None else "another process")

    end_leftovers(store.read())
    # An orphan may hold the lock that it inherited: it is given a moment to disappear.
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
) -> list[RunOutcome]:
    """Run several flows at the same time; one that fails does not stop the others. In the order of `flows`."""
    outcomes: list[RunOutcome | None] = [None] * len(flows)

    def one(at: int, flow: Flow, store: TaskStore) -> None:
        outcomes[at] = _caught(flow, store, options, reporter, stop, provide)

    threads = [
        threading.Thread(target=one, args=(at, flow, store), name=f"run {flow.name}", daemon=True)
        for at, (flow, store) in enumerate(flows)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # a signal handler runs between two joins
    return [outcome for outcome in outcomes if outcome is not None]


def _caught(
    flow: Flow, store: TaskStore, options: RunOptions, reporter: Reporter, stop: Stop, provide: Provide | None
) -> RunOutcome:
    from dstream_state import StateError

    try:
        return run_flow(flow, store, options, reporter, stop, provide=provide)
    except StateError as problem:
        return RunOutcome("failed", Totals(), diagnostics=(error(problem.summary, problem.detail),))
    except DiagnosticsError as problem:
        return RunOutcome("failed", Totals(), diagnostics=problem.diagnostics)
    except Exception as problem:  # noqa: BLE001 - the other flows go on, and the user is told
        what = f"{flow.name}: {type(problem).__name__}: {problem}"
        return RunOutcome("failed", Totals(), diagnostics=(error("Run failed", what),))


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
    """Refuse a checkpoint that belongs to objects which were made anew since."""
    checkpoint = lease.checkpoint
    if checkpoint is None or not checkpoint.objects or not flow.objects:
        return
    now = flow.objects
    changed = sorted(name for name, marker in checkpoint.objects.items() if name in now and now[name] != marker)
    if changed:
        what = (
            f"The checkpoint of {flow.name} belongs to {', '.join(changed)} as it was earlier; that has been made anew "
            f"since, so changes in between may be lost. Start over with: dstream checkpoint reset {flow.name}"
        )
        raise DiagnosticsError(error("Checkpoint of an earlier object", what))


class _Supervisor:
    """The sessions of one run."""

    def __init__(
        self,
        flow: Flow,
        lease: TaskLease,
        options: RunOptions,
        reporter: Reporter,
        stop: Stop,
        session: type[Session],
        provide: Provide | None,
    ) -> None:
        self._flow, self._lease, self._options, self._reporter = flow, lease, options, reporter
        self._stop, self._session, self._provide = stop, session, provide
        self._number = 0
        self._current: Session | None = None
        lease.on_lost(self._lost)
        self._records = self._bytes = self._stored = self._letters = 0
        self._failures = self._waits = self._careful = 0
        self._skip = options.skip_records
        self._beginning: Mapping[str, Any] | None = None
        self._last: Mapping[str, Any] | None = None

    def run(self) -> RunOutcome:
        while True:
            end = self._next_session()
            if end.kind != "failed":
                return self._outcome(end.kind, end)
            progressed = self._number == 1 or end.position != self._last
            if end.position != self._beginning:
                self._skip = 0
            self._last = end.position
            if end.discovered and self._provide is not None and not self._stop.requested:
                problems = self._provided(end.discovered)
                if problems:
                    return self._outcome("failed", end, problems)
                continue
            if end.final or not self._restarts():
                return self._outcome("failed", end)
            if progressed:
                self._failures = self._waits = 0
            self._waits += 1
            self._failures += 1 if end.counts else 0
            # One checkpoint at a time over what was under way, so that the checkpoint ends right before the culprit.
            self._careful = max(end.records - end.stored, 1)
            if self._failures >= self._options.attempts:
                return self._outcome("blocked", end, self._advice(end))
            delay = min(self._options.first_delay * 2 ** (self._waits - 1), self._options.longest_delay)
            delay = max(delay, end.retry_after)
            self._reporter.restarting(self._flow, end.diagnostics, delay, self._waits)
            if self._stop.wait(delay):
                return self._outcome("stopped", end, ())

    def _provided(self, streams: Sequence[Mapping[str, Any]]) -> tuple[Diagnostic, ...]:
        """Have created what new streams need; return what went wrong."""
        from dstream_state import StateError

        assert self._provide is not None  # noqa: S101 - only called where there is one
        self._reporter.discovered(self._flow, tuple(str(stream["name"]) for stream in streams))
        try:
            self._flow = self._provide(self._flow, streams)
        except DiagnosticsError as problem:
            return problem.diagnostics
        except StateError as problem:
            return (error(problem.summary, problem.detail),)
        return ()

    def _lost(self) -> None:
        if self._current is not None:
            self._current.lease_lost()

    def _restarts(self) -> bool:
        """A version 1 provider ends its task when it ends; nobody knows what it has delivered."""
        return self._flow.input.info.protocol >= 2 and self._flow.output.info.protocol >= 2

    def _next_session(self) -> SessionEnd:
        self._number += 1
        limit = self._options.max_records
        session = self._session(
            self._flow,
            self._lease,
            self._options,
            self._reporter,
            self._stop,
            number=self._number,
            max_records=max(limit - self._stored, 1) if limit is not None else None,
            skip=self._skip,
            careful=self._careful,
        )
        if self._number == 1:
            self._beginning = self._last = session.position
        self._current = session
        end = session.run()
        self._records += end.records
        self._bytes += end.bytes
        self._stored += end.stored
        self._letters += end.dead_letters
        return end

    def _outcome(
        self, status: Status, end: SessionEnd, diagnostics: tuple[Diagnostic, ...] | None = None
    ) -> RunOutcome:
        totals = Totals(self._records, self._bytes, self._stored, self._letters)
        found = end.diagnostics if diagnostics is None else diagnostics
        return RunOutcome(status, totals, end.position, found, self._number)

    def _advice(self, end: SessionEnd) -> tuple[Diagnostic, ...]:
        name = self._flow.name
        where = f"the same checkpoint ({end.position})" if end.position is not None else "the very beginning"
        what = (
            f"{self._failures} sessions of {name} ended at {where}, so another one would too. If something outside is "
            "wrong, mend that and run again. If the first record behind the checkpoint is at fault, put it aside: "
            f"dstream run {name} --skip-records 1 (or more; they are kept: dstream dlq list {name})."
        )
        return (error("Task is blocked", what), *end.diagnostics)
