"""One session of a flow: an input and an output that start together and end together.

Threads: the *driver* writes the opening lines and is the pump; the *acknowledgement reader* takes what the output
writes; the *committer* stores and commits checkpoints; and one for each stderr. The caller's thread only watches: time
limits, exits, requests to stop, the lease. The first reason to end the session ends all of them.
"""

from __future__ import annotations

import time

from dstream.diagnostics import error, warning
from dstream.run.ack_reader import AckReader
from dstream.run.checkpoint_tracker import CheckpointTracker, Sent
from dstream.run.committer import Committer
from dstream.run.driver import Driver
from dstream.run.end_reason import EndReason, Failure
from dstream.run.failpoints import fault
from dstream.run.flow import Totals
from dstream.run.reporter import Progress
from dstream.run.run_context import Attempt, RunContext
from dstream.run.session_end import SessionEnd, failure_at_end, session_end
from dstream.run.session_providers import Providers
from dstream.run.session_threads import SessionThreads

_LOOK = 0.05
"""Seconds between two looks while the session starts or ends; in between, events and reports wake it."""
_REPORT = 1.0
_THREADS = ("driver", "acknowledgement reader")


class Session:
    """One run of both providers. `run` may be called once."""

    def __init__(self, context: RunContext, attempt: Attempt) -> None:
        """Prepare a session that starts behind the checkpoint of the lease."""
        self.context, self.attempt = context, attempt
        self.reason = EndReason()
        self.providers = Providers.of(context)
        self.tracker = self.make_tracker()
        self.committer = self.make_committer()
        self.reader = AckReader(context, self.providers.output, self.tracker, self.committer, self.reason)
        self.driver = self.make_driver()
        self._threads = SessionThreads(context.flow.name, self.providers, self.reason)
        self._started = time.monotonic()
        self._stop_requested_at: float | None = None
        """When the input was asked to end."""
        self._output_done_at: float | None = None
        self._reported_at, self._reported = self._started, (0, 0)

    def make_tracker(self) -> CheckpointTracker:
        """Return the checkpoint tracker of this session."""
        return CheckpointTracker()

    def make_committer(self) -> Committer:
        """Return what stores the checkpoints of this session."""
        from dstream_state import Checkpoint

        flow = self.context.flow
        return Committer(
            self.tracker,
            self.context.lease,
            Checkpoint({}, flow.task, dict(flow.objects)),
            interval=self.context.options.store_interval,
            on_stored=self._on_stored,
            max_dead_letters=self.attempt.max_dead_letters,
        )

    def make_driver(self) -> Driver:
        """Return what moves the data of this session."""
        return Driver(
            self.context,
            self.attempt,
            self.providers,
            self.reader,
            self.tracker,
            self.committer,
            self.reason,
            self.on_ready,
        )

    def run(self) -> SessionEnd:
        """Run until the input has ended, a stop is done, or something fails."""
        with self.context.stop.listening(self.reason.notify):
            try:
                self._start()
                self._watch()
            except Exception as problem:  # noqa: BLE001 - it becomes the reason for the end of the session
                self.providers.take(f"The start of {self.context.flow.name}", problem, self.reason)
            finally:
                self._bring_down()
        return session_end(
            self.context, self.reason, self.driver, self.committer, stop_requested=self._stop_requested_at is not None
        )

    def lease_lost(self) -> None:
        """Kill first, explain later: another runner may have the task already."""
        self.providers.kill()
        fault("during_lease_loss")
        from dstream_state import LeaseLost

        self.reason.lose(LeaseLost("the lease of the task was lost."))

    def on_ready(self) -> None:
        """Both providers are ready."""
        flow = self.context.flow
        if flow.acks:
            self.committer.attach(self.providers.input.process.stdin)
            self._threads.start("committer", self.committer.run)
        self.context.reporter.session_started(flow, self.attempt.number, self.committer.position)

    def _on_stored(self, sent: Sent) -> None:
        self.context.reporter.stored(self.context.flow, sent.position)

    def _start(self) -> None:
        source, output = self.providers.input, self.providers.output
        self.context.lease.ensure()
        output.begin()
        if source.version >= 2:
            source.begin()  # it waits for its opening line; a version 1 input may stream immediately
        output.started()
        if source.version >= 2:
            source.started()
            self.providers.record(self.context)
        self._threads.start("driver", self.driver.run, self.driver.finished.set)
        self._threads.start("acknowledgement reader", self.reader.run, self.reader.ended.set)

    def _watch(self) -> None:
        """Return when both providers are done, or something is wrong."""
        stop = self.context.stop
        while not self.reason.over:
            self.reason.wait(self._pause())
            now = time.monotonic()
            if stop.at_once:
                return
            if stop.requested:
                self._ask_to_end(now)
            self._check_times(now)
            self.providers.output.look()
            if self.driver.input_ready.is_set():
                self.providers.input.look()
            if self.reader.ended.is_set() and self._nothing_comes(now):
                return
            if now - self._reported_at >= _REPORT:
                self._report(now)

    def _pause(self) -> float:
        """Return the seconds until the next check, if nothing happens before."""
        pump = self.driver.pump
        moves = pump is not None and self.driver.input_ready.is_set() and self._stop_requested_at is None
        ends = self.driver.finished.is_set() or self.reader.ended.is_set() or (pump is not None and pump.ended)
        timed = self.context.options.until_idle and self.providers.input.version < 2
        if not moves or ends or timed:
            return _LOOK
        return max(self._reported_at + _REPORT - time.monotonic(), _LOOK)

    def _nothing_comes(self, now: float) -> bool:
        """Tell, when the output has closed its stdout, whether there is nothing to wait for on the input's side."""
        if self.driver.finished.is_set():
            return True
        if self.driver.pump is not None and self.driver.pump.ended:
            # The input's own exit may take a moment longer than the output's.
            self._output_done_at = self._output_done_at or now
            return now - self._output_done_at > self.context.options.grace
        return self.providers.output.look()

    def _ask_to_end(self, now: float) -> None:
        if self._stop_requested_at is not None:
            return
        self._request_stop(now)
        self.context.reporter.stopping(self.context.flow)
        if not self.driver.input_ready.is_set():
            self.reason.fail(Failure())  # no data has moved: there is nothing to finish
            self.providers.kill()
        else:
            self.providers.input.terminate()

    def _request_stop(self, now: float) -> None:
        self._stop_requested_at, self.driver.stopping = now, True

    def _check_times(self, now: float) -> None:
        flow, options, pump = self.context.flow, self.context.options, self.driver.pump
        if self._stop_requested_at is not None:
            if now - self._stop_requested_at > options.grace:
                what = f"{flow.name} did not stop within {options.grace:g} s and was killed."
                self.context.reporter.problem(flow, warning("Graceful stop timeout", what))
                self.providers.kill()
                self._stop_requested_at = now + options.grace
            return
        if self._starting(now) or pump is None:
            return
        if self.driver.finished.is_set():
            if now - max(self.reader.last_ack, pump.last_moved) > options.drain:
                output = self.providers.output
                what = f"The output {output.program} had not finished {options.drain:g} s after the last data."
                self.reason.fail(Failure((error("Provider exit timeout", what),), output))
        elif options.until_idle and self.providers.input.version < 2 and now - pump.last_moved > options.idle_seconds:
            self._request_stop(now)
            self.providers.input.terminate()

    def _starting(self, now: float) -> bool:
        """Return whether a provider is not ready yet; end the session when it takes too long."""
        limit = self.context.options.start_timeout
        source, output = self.providers.input, self.providers.output
        for side, ready, factor in ((output, self.reader.ready, 1), (source, self.driver.input_ready, 2)):
            if side.version < 2 or ready.is_set():
                continue
            # One that has exited is found by what it wrote, or by the end of its stdout.
            if not side.look() and now - self._started > limit * factor:
                what = f"The {side.name} {side.program} was not ready within {limit:g} s."
                self.reason.fail(Failure((error("No response from provider", what),), side))
            return True
        return False

    def _report(self, now: float) -> None:
        pump, seconds, before = self.driver.pump, now - self._reported_at, self._reported
        if pump is None or seconds <= 0:
            return
        committer = self.committer
        totals = Totals(pump.records, pump.bytes, committer.stored_records, committer.dead_letters, pump.text_lines)
        rate = ((pump.records - before[0]) / seconds, (pump.bytes - before[1]) / seconds)
        self.context.reporter.progress(self.context.flow, Progress(totals, *rate))
        self._reported_at, self._reported = now, (pump.records, pump.bytes)

    def _bring_down(self) -> None:
        """End both providers, take in what the output acknowledged, and store it."""
        if not (self.reason.over or self.context.stop.at_once):
            self._wait_for_exits()
            failure = failure_at_end(
                self.context,
                self.providers,
                self.driver,
                self.reader,
                self.tracker,
                stop_requested=self._stop_requested_at is not None,
            )
            if failure is not None and not (self.reason.over or self.context.stop.at_once):
                self.reason.fail(failure)
        for side in (self.providers.output, self.providers.input):
            side.shut()
        self.reason.notify()
        self._threads.join(*_THREADS, seconds=5.0)
        self.committer.close()
        self._threads.join("committer", *_THREADS, seconds=60.0)
        for side in (self.providers.input, self.providers.output):
            side.finish()
        self._report(time.monotonic())

    def _wait_for_exits(self) -> None:
        """Wait until the providers that have closed their pipes have exited."""
        until = time.monotonic() + min(self.context.options.grace, 10.0)
        source, output = self.providers.input, self.providers.output
        sides = [output, source] if self.driver.input_ended else [output]
        while time.monotonic() < until and not all(side.look() for side in sides):
            self.reason.wait(0.002)
