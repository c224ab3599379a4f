"""One session of a flow: an input and an output that start together and end together.

Threads: the *driver* writes the opening lines and is the pump; the *reader* takes what the output says; the *settler*
stores and commits checkpoints; one each for the two stderrs. The caller's thread only watches: time limits, exits,
requests to stop, the lease. Whatever goes wrong first ends the session, and all the rest is brought down with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dstream.diagnostics import Diagnostic, DiagnosticsError, error, warning
from dstream.plugins.errors import with_tail
from dstream.run.ack_reader import Listening
from dstream.run.driver import Driving
from dstream.run.flow import Totals
from dstream.run.reporter import Progress

_LOOK = 0.05
_REPORT = 1.0


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended. `final`: starting another one would not help; `counts`: it was an attempt at the data."""

    kind: Literal["ended", "stopped", "failed", "lost"]
    diagnostics: tuple[Diagnostic, ...] = ()
    records: int = 0
    bytes: int = 0
    stored: int = 0
    dead_letters: int = 0
    final: bool = False
    counts: bool = True
    retry_after: float = 0.0
    """How long to wait at least before another one, as the provider says; in seconds."""
    position: Mapping[str, Any] | None = None
    """The checkpoint that the next session would start behind."""
    discovered: tuple[Mapping[str, Any], ...] = ()
    """Streams that the output has met without having been told of them: it needs objects before it can go on."""


class Session(Driving, Listening):
    """One run of both providers. `run` may be called once."""

    def run(self) -> SessionEnd:
        """Run until the input has ended, a stop is done, or something fails."""
        with self.stop.listening(self._notify):
            try:
                self._start()
                self._watch()
            except DiagnosticsError as problem:
                self._fail(*problem.diagnostics, final=True)
            except Exception as problem:  # noqa: BLE001 - it becomes the session's end, after all is brought down
                self._failed_with("start", problem)
            finally:
                self._bring_down()
        return self._end()

    def _start(self) -> None:
        self.lease.ensure()
        self.output.begin()
        if self.input.version >= 2:
            self.input.begin()  # it waits for its opening line; a version 1 input may stream at once
        self.output.started()
        if self.input.version >= 2:
            self.input.started()
            self._record_processes()
        self._thread("driver", self._drive)
        self._thread("reader", self._read)

    def _watch(self) -> None:
        """Return when both providers are done, or something is wrong."""
        while not (self._problems or self._lost):
            with self._changed:
                self._changed.wait(_LOOK)
            now = time.monotonic()
            if self.stop.at_once:
                return
            if self.stop.requested:
                self._ask_to_end(now)
            self._check_times(now)
            self.output.look()
            if self._input_ready.is_set():
                self.input.look()
            if self._output_silent.is_set() and self._nothing_comes(now):
                return
            if now - self._reported_at >= _REPORT:
                self._report(now)

    def _nothing_comes(self, now: float) -> bool:
        """Tell, when the output has closed its stdout, whether there is nothing to wait for on the input's side."""
        if self._pumped.is_set():
            return True
        if self.pump is not None and self.pump.ended:
            # All is said; the input's own exit may take a moment longer than the output's.
            self._output_done_at = self._output_done_at or now
            return now - self._output_done_at > self.options.grace
        return self.output.look()

    def _ask_to_end(self, now: float) -> None:
        if self._terminated_at is not None:
            return
        self._terminated_at = now
        self.reporter.stopping(self.flow)
        if not self._input_ready.is_set():
            self._fail()  # nothing has begun: nothing to finish
            self._kill()
        else:
            self.input.terminate()

    def _check_times(self, now: float) -> None:
        options, pump = self.options, self.pump
        if self._terminated_at is not None:
            if now - self._terminated_at > options.grace:
                what = f"{self.flow.name} was asked to stop, had not done so after {options.grace:g} s, and was killed."
                self.reporter.problem(self.flow, warning("Stopped the hard way", what))
                self._kill()
                self._terminated_at = now + options.grace
            return
        for side, ready in ((self.output, self._output_ready), (self.input, self._input_ready)):
            if side.version >= 2 and not ready.is_set():
                if side.look():
                    return  # it has ended; its pipe says so as well
                if now - self._started > options.start_timeout * (1 if side is self.output else 2):
                    what = f"The {side.name} {side.program} was not ready within {options.start_timeout:g} s."
                    self._fail(error("Provider does not answer", what), side=side)
                return
        if pump is None:
            return
        if self._pumped.is_set():
            if now - max(self._last_ack, pump.last_moved) > options.drain:
                what = f"The output {self.output.program} had not finished {options.drain:g} s after the last data."
                self._fail(error("Provider does not finish", what), side=self.output)
        elif options.until_idle and self.input.version < 2 and now - pump.last_moved > options.idle_seconds:
            self._terminated_at = now
            self.input.terminate()

    def _report(self, now: float) -> None:
        pump, seconds, before = self.pump, now - self._reported_at, self._reported
        if pump is None or seconds <= 0:
            return
        letters = self.settler.dead_letters if self.settler else 0
        totals = Totals(pump.records, pump.bytes, self._stored_records, letters)
        rate = ((pump.records - before[0]) / seconds, (pump.bytes - before[1]) / seconds)
        self.reporter.progress(self.flow, Progress(totals, *rate))
        self._reported_at, self._reported = now, (pump.records, pump.bytes)

    def _bring_down(self) -> None:
        """End both providers, take in what the output acknowledged, and settle it."""
        if not (self._problems or self._lost or self.stop.at_once):
            self._wait_for_exits()
            self._judge()
        for side in (self.output, self.input):
            side.shut()
        self._output_ready.set()
        for thread in self._threads:
            if not thread.name.endswith("settler"):
                thread.join(5.0)
        if self.settler is not None:
            self.settler.close()
        for thread in self._threads:
            thread.join(60.0)
        for side in (self.input, self.output):
            side.finish()
        self._report(time.monotonic())

    def _wait_for_exits(self) -> None:
        """Give those who have closed their pipes the time to end by themselves."""
        until = time.monotonic() + min(self.options.grace, 10.0)
        sides = [self.output, self.input] if self._input_done else [self.output]
        while time.monotonic() < until and not all(side.look() for side in sides):
            with self._changed:
                self._changed.wait(0.002)

    def _judge(self) -> None:
        """Decide, from how both ended, whether the session was a success."""
        if self._problems or self._lost or self.stop.at_once:
            return
        pump = self.pump
        stopping = self._terminated_at is not None
        if pump is None or not (self._input_done or pump.ended):
            when = " in the middle of a line" if self._output_rest else ""
            when += " before it was ready." if pump is None else " while the input was still writing."
            self._fail(self.output.ended("Output ended early", when), side=self.output, final=self.output.version < 2)
            return
        if pump.dropped:
            what = f"{pump.dropped} bytes of an unfinished line from {self.input.program} were dropped."
            self.reporter.problem(self.flow, warning("Unfinished line dropped", what))
        if not self._input_ready.is_set():
            rest = " in the middle of a line" if pump.dropped else ""
            self._fail(self.input.ended("Provider ended early", f"{rest} before it was ready."), side=self.input)
        elif self.flow.acks and not pump.ended:
            if not stopping:
                how = " without having written its end line."
                self._fail(self.input.ended("Input ended early", how), side=self.input)
        elif not self.flow.acks and self.input.code != 0 and not stopping and not pump.full:
            self._fail(self.input.ended("Input ended early", "."), side=self.input, final=self.input.version < 2)
        if self._problems:
            return
        if self.output.code != 0 and not (stopping and self.flow.acks and not pump.ended):
            self._fail(self.output.ended("Output failed", "."), side=self.output, final=self.output.version < 2)
        elif self.flow.acks and pump.ended and not self.ledger.all_acknowledged:
            what = f"The output {self.output.program} ended without acknowledging the last checkpoint."
            self._fail(error("Provider broke the protocol", what), side=self.output)

    def _end(self) -> SessionEnd:
        from dstream_state import LeaseLost

        pump = self.pump
        stopped = self.stop.requested or self._terminated_at is not None
        kind: Literal["ended", "stopped", "failed", "lost"]
        diagnostics = tuple(self._problems)
        if self._blamed is not None:
            diagnostics = tuple(with_tail(each, self._blamed.tail) for each in diagnostics)
        if self._lost is not None:
            kind = "lost"
            why = self._lost.detail if isinstance(self._lost, LeaseLost) else str(self._lost)
            how = (
                f"{self.flow.name} was stopped at once: {why} Another runner may have it now; what was not stored "
                "is delivered again."
            )
            diagnostics = (error("Lease of the task lost", how),)
        elif self.stop.requested:
            kind = "stopped"
        elif diagnostics:
            kind = "failed"
        else:
            kind = "stopped" if stopped and not self.options.until_idle else "ended"
        return SessionEnd(
            kind,
            diagnostics,
            pump.records if pump else 0,
            pump.bytes if pump else 0,
            self._stored_records if self.flow.acks else (pump.records if pump else 0),
            self.settler.dead_letters if self.settler else 0,
            self._final,
            self._counts,
            self._retry_after,
            self.position,
            tuple(self._discovered),
        )
