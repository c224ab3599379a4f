"""One session of a flow: an input and an output that start together and end together.

Threads: the *driver* writes the opening lines and is the pump; the *reader* takes what the output says; the *settler*
stores and commits checkpoints; one each for the two stderrs. The caller's thread only watches: time limits, exits,
requests to stop, the lease. Whatever goes wrong first ends the session, and all the rest is brought down with it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dstream.diagnostics import Diagnostic, DiagnosticsError, warning
from dstream.plugins.failures import excerpt, failure
from dstream.plugins.redact import RedactedLines
from dstream.plugins.wire import CONTROL_LIMIT, complaints, decode_object
from dstream.run.faults import fault
from dstream.run.flow import Flow, RunOptions
from dstream.run.ledger import Ledger, ProtocolBroken, Sent
from dstream.run.pump import Pump, RecordTooLong
from dstream.run.reporter import Progress, Reporter
from dstream.run.settle import Settler
from dstream.run.side import Side
from dstream.run.stop import Stop

if TYPE_CHECKING:
    from dstream_state import TaskLease

_LOOK = 0.05
_REPORT = 1.0
_CHUNK = 256 * 1024


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
    position: Mapping[str, Any] | None = None
    """The checkpoint that the next session would start behind."""


class Session:
    """One run of both providers. `run` may be called once."""

    def __init__(
        self,
        flow: Flow,
        lease: TaskLease,
        options: RunOptions,
        reporter: Reporter,
        stop: Stop,
        *,
        number: int = 1,
        max_records: int | None = None,
        skip: int = 0,
    ) -> None:
        """Prepare a session that starts behind the checkpoint of `lease`."""
        self.flow, self.lease, self.options, self.reporter, self.stop = flow, lease, options, reporter, stop
        self._number, self._max_records, self._skip = number, max_records, skip
        inherit = lease.inherit_fds
        self.input = Side("input", flow.input, inherit, lambda line: reporter.log(flow, "input", line))
        self.output = Side("output", flow.output, inherit, lambda line: reporter.log(flow, "output", line))
        stored = lease.checkpoint
        self.position: Mapping[str, Any] | None = stored.position if stored is not None else None
        self.ledger = self.make_ledger()
        self.settler: Settler | None = None
        self.pump: Pump | None = None
        self._changed = threading.Condition()
        self._problems: list[Diagnostic] = []
        self._final = False
        self._counts = True
        self._lost: Exception | None = None
        self._output_ready = threading.Event()
        self._input_ready = threading.Event()
        self._pumped = threading.Event()
        self._input_done = False
        self._output_silent = threading.Event()
        self._terminated_at: float | None = None
        self._threads: list[threading.Thread] = []
        self._started = time.monotonic()
        self._last_ack = self._started
        self._stored_records = 0
        self._stored_any = False

    def make_ledger(self) -> Ledger:
        """Return the ledger of this session."""
        return Ledger()

    def make_settler(self) -> Settler:
        """Return what stores the checkpoints of this session."""
        from dstream_state import Checkpoint

        os.set_blocking(self.input.process.stdin, False)
        return Settler(
            self.ledger,
            self.lease,
            Checkpoint({}, self.flow.task, dict(self.flow.objects)),
            self.input.process.stdin,
            interval=self.options.store_interval,
            on_stored=self._on_stored,
        )

    def _on_stored(self, sent: Sent) -> None:
        self.position, self._stored_records, self._stored_any = sent.position, sent.records, True
        self.reporter.stored(self.flow, sent.position)

    def run(self) -> SessionEnd:
        """Run until the input has ended, a stop is done, or something fails."""
        self.lease.on_lost(self.lease_lost)
        with self.stop.listening(self._notify):
            try:
                self._start()
                self._watch()
            except DiagnosticsError as problem:
                self._fail(problem.diagnostics, final=True)
            finally:
                self._bring_down()
        return self._end()

    # -- starting ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.output.begin()
        if self.input.version >= 2:
            self.input.begin()  # it waits for its opening line; a version 1 input may stream at once
        self.output.started()
        if self.input.version >= 2:
            self.input.started()
            self._record_processes()
        self._thread("driver", self._drive)
        self._thread("reader", self._read)

    def _record_processes(self) -> None:
        from dstream_state import ProcessStarted
        from dstream_state.processes import this_host

        running = [side.process for side in (self.input, self.output) if side is self.output or side.version >= 2]
        if self.input.version < 2 and self._input_ready.is_set():
            running.append(self.input.process)
        self.lease.record_processes([ProcessStarted(each.pid, each.started, this_host()) for each in running])

    def _thread(self, name: str, target: Any) -> None:
        def guarded() -> None:
            try:
                target()
            except ProtocolBroken as problem:
                self._broken(problem)
            except DiagnosticsError as problem:
                self._fail(problem.diagnostics, final=True)
            except Exception as problem:  # noqa: BLE001 - the watching thread decides what becomes of it
                self._failed_with(name, problem)
            finally:
                self._notify()

        thread = threading.Thread(target=guarded, name=f"{self.flow.name} {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _failed_with(self, name: str, problem: Exception) -> None:
        from dstream_state import LeaseLost, StateError

        if isinstance(problem, LeaseLost):
            self._lost = self._lost or problem
            self._kill()
        elif isinstance(problem, StateError):
            self._fail((failure(problem.summary, problem.detail),))
        else:
            what = f"The {name} of {self.flow.name} failed: {type(problem).__name__}: {problem}"
            self._fail((failure("Run failed", what),))

    # -- the driver: opening lines, then the pump -----------------------------------------------------------------

    def _drive(self) -> None:
        try:
            self._drive_output()
        except BrokenPipeError:
            self._notify()  # the output is gone; the watching thread finds out how
        finally:
            self._pumped.set()

    def _drive_output(self) -> None:
        acks = self.flow.acks
        message = {"task": self.flow.task, "streams": list(self.flow.streams), "acks": acks}
        self._write(self.output, self.output.opening(message))
        if self.output.version >= 2:
            self._output_ready.wait()
            if self._problems:
                return
        self._open_input(acks)
        self.pump = pump = Pump(
            self.input.process.stdout,
            self.output.process.stdin,
            controls=acks,
            max_record_bytes=self.options.max_record_bytes,
            before_write=self.lease.ensure,
            on_checkpoint=self.ledger.sent,
            on_first_line=self._first_line,
            skip=self._skip,
            on_skipped=self._skipped,
            limit=self._max_records if not acks else None,
        )
        try:
            pump.run()
        except RecordTooLong:
            limit = self.options.max_record_bytes
            what = (
                f"The input {self.input.program} wrote a record of more than {limit} bytes, which is the limit. "
                "Raise max_record_bytes, or leave the record out at its source."
            )
            self._fail((failure("Record too long", what),), final=True)
            return
        self._input_done = True
        self._after_input(pump)

    def _open_input(self, acks: bool) -> None:
        if self.input.version < 2:
            self.input.started()
            self._input_ready.set()
            self._record_processes()
            self._write(self.input, self.input.opening({}))
            self.input.process.close_stdin()
            self._ready()
            return
        message: dict[str, Any] = {"task": self.flow.task, "checkpoint": self.position, "acks": acks}
        if self.options.until_idle:
            message["until"] = "current"
        if self._max_records is not None:
            message["max_records"] = self._max_records
        self._write(self.input, self.input.opening(message))

    def _write(self, side: Side, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(side.process.stdin, view) :]

    def _first_line(self, line: bytes) -> int:
        """Take the input's answer to its opening line; return how many bytes of `line` are not data."""
        form = decode_object(line)
        status = _status(form)
        if self.input.version < 2:
            if status == "error":
                assert form is not None  # noqa: S101 - it has a status
                raise DiagnosticsError([_refusal(form, self.input)])
            if status is not None:
                return len(line)
            return 3 if line.startswith(b"\xef\xbb\xbf") else 0
        self._answered(self.input, form, line)
        self._input_ready.set()
        self._ready()
        return len(line)

    def _answered(self, side: Side, form: Mapping[str, Any] | None, line: bytes) -> None:
        """Check the answer of a version 2 provider to its opening line."""
        if form is not None and form.get("status") == "error":
            found = complaints(form, side.redactor, side.program)
            classes = {each.error_class for each in found}
            retriable = "retriable" in classes
            final = bool(classes & {"invalid", "denied", "conflict", "fatal"}) and not retriable
            self._fail(tuple(each.diagnostic for each in found), final=final, counts=not retriable)
            raise BrokenPipeError  # ends the calling thread; the reason is recorded
        if form is None or form.get("status") != "ready":
            what = f"answered its opening line with something else: {excerpt(line, side.redactor)}"
            raise ProtocolBroken(side.name, what)

    def _ready(self) -> None:
        if self.flow.acks:
            self.settler = self.make_settler()
            self._thread("settler", self.settler.run)
        self.reporter.session_started(self.flow, self._number, self.position)

    def _skipped(self, lines: list[bytes]) -> None:
        self.lease.dead_letters.append([(line, "left out by --skip-records") for line in lines])
        self._skip -= len(lines)

    def _after_input(self, pump: Pump) -> None:
        """The input has closed its stdout: let the output finish, with `end` where the host has to say it."""
        if pump.full:
            self.input.terminate()
        if not self.flow.acks and self.output.version >= 2:
            code = self.input.process.wait(self.options.grace)
            if code == 0 or pump.full or self._terminated_at is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._write(self.output, b'{"end":true}\n')
        self.output.process.close_stdin()

    # -- the reader: what the output says -------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            if self.output.version < 2:
                self._read_text()
            else:
                self._read_lines()
        except BrokenPipeError:
            pass  # the reason is recorded
        finally:
            self._output_silent.set()
            self._output_ready.set()

    def _read_lines(self) -> None:
        rest = b""
        while chunk := os.read(self.output.process.stdout, _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._output_line(line)
            if len(rest) > CONTROL_LIMIT:
                raise ProtocolBroken("output", "wrote a line of more than 16 MiB.")

    def _output_line(self, line: bytes) -> None:
        if not self._output_ready.is_set():
            form = decode_object(line)
            self._answered(self.output, form, line)
            if self.flow.stores_checkpoint and form is not None:
                found = form.get("checkpoint")
                self.position = found if isinstance(found, dict) else None
            self._output_ready.set()
        elif line.startswith(b'{"checkpoint":'):
            self.ledger.acknowledged(line)
            self._last_ack = time.monotonic()
            if self.settler is not None:
                self.settler.notify()
        elif line.startswith(b'{"reject":') and self.settler is not None:
            self.settler.reject(line)
        elif line.strip():
            form = decode_object(line)
            if form is not None and form.get("status") == "error":
                found = complaints(form, self.output.redactor, self.output.program)
                self._fail(tuple(each.diagnostic for each in found))
                raise BrokenPipeError
            shown = excerpt(line, self.output.redactor)
            raise ProtocolBroken("output", f"wrote a line that is no part of the protocol: {shown}")

    def _read_text(self) -> None:
        first = True

        def show(line: str) -> None:
            self.reporter.text(self.flow, line)

        lines = RedactedLines(self.output.redactor, show)
        pending = b""
        while chunk := os.read(self.output.process.stdout, _CHUNK):
            if first:
                pending += chunk
                if b"\n" not in pending and len(pending) < CONTROL_LIMIT:
                    continue
                first = False
                line, _, chunk = pending.partition(b"\n")
                form = decode_object(line)
                status = _status(form)
                if status == "error" and form is not None:
                    raise DiagnosticsError([_refusal(form, self.output)])
                if status != "ready":
                    chunk = pending
            lines.feed(chunk)
        lines.feed(pending if first else b"")
        lines.close()

    # -- the watching thread --------------------------------------------------------------------------------------

    def _notify(self) -> None:
        # Called in signal handlers too, so it must not wait for a lock that the interrupted code may hold.
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    def lease_lost(self) -> None:
        """Kill first, explain later: somebody else may be running the task already."""
        self._kill()
        fault("during_lease_loss")
        from dstream_state import LeaseLost

        self._lost = self._lost or LeaseLost("the lease of the task was lost.")
        self._notify()

    def _kill(self) -> None:
        self.input.kill()
        self.output.kill()

    def _fail(self, diagnostics: tuple[Diagnostic, ...], *, final: bool = False, counts: bool = True) -> None:
        with self._changed:
            if not self._problems:
                self._problems.extend(diagnostics)
                self._final, self._counts = final, counts
            self._changed.notify_all()
        self._output_ready.set()

    def _broken(self, problem: ProtocolBroken) -> None:
        side = self.input if problem.side == "input" else self.output
        what = f"The {side.name} {side.program} {side.redactor.text(problem.text)}"
        self._fail((failure("Provider broke the protocol", what, side.tail),), final=True)

    def _watch(self) -> None:
        """Return when both providers are done, or something is wrong."""
        reported, totals = time.monotonic(), (0, 0)
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
            if self._output_silent.is_set() and (self._pumped.is_set() or self.output.look()):
                return
            if now - reported >= _REPORT:
                totals = self._report(now - reported, totals)
                reported = now

    def _ask_to_end(self, now: float) -> None:
        if self._terminated_at is not None:
            return
        self._terminated_at = now
        self.reporter.stopping(self.flow)
        if not self._input_ready.is_set():
            self._fail(())  # nothing has begun: nothing to finish
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
                    self._fail((failure("Provider does not answer", what, side.tail),))
                return
        if pump is None:
            return
        if self._pumped.is_set():
            if now - max(self._last_ack, pump.last_moved) > options.drain:
                what = f"The output {self.output.program} had not finished {options.drain:g} s after the last data."
                self._fail((failure("Provider does not finish", what, self.output.tail),))
        elif options.until_idle and self.input.version < 2 and now - pump.last_moved > options.idle_seconds:
            self._terminated_at = now
            self.input.terminate()

    def _report(self, seconds: float, before: tuple[int, int]) -> tuple[int, int]:
        from dstream.run.flow import Totals

        pump = self.pump
        if pump is None:
            return before
        letters = self.settler.dead_letters if self.settler else 0
        totals = Totals(pump.records, pump.bytes, self._stored_records, letters)
        rate = ((pump.records - before[0]) / seconds, (pump.bytes - before[1]) / seconds)
        self.reporter.progress(self.flow, Progress(totals, *rate))
        return pump.records, pump.bytes

    # -- the end --------------------------------------------------------------------------------------------------

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
        if pump is None or not self._input_done:
            when = " before it was ready." if pump is None else " while the input was still writing."
            self._fail((self.output.ended("Output ended early", when),), final=self.output.version < 2)
            return
        if pump.dropped:
            what = f"{pump.dropped} bytes of an unfinished line from {self.input.program} were dropped."
            self.reporter.problem(self.flow, warning("Unfinished line dropped", what))
        if not self._input_ready.is_set():
            rest = " in the middle of a line" if pump.dropped else ""
            self._fail((self.input.ended("Provider ended early", f"{rest} before it was ready."),))
        elif self.flow.acks and not pump.ended:
            if not stopping:
                how = " without having written its end line."
                self._fail((self.input.ended("Input ended early", how),))
        elif not self.flow.acks and self.input.code != 0 and not stopping and not pump.full:
            self._fail((self.input.ended("Input ended early", "."),), final=self.input.version < 2)
        if self._problems:
            return
        if self.output.code != 0 and not (stopping and self.flow.acks and not pump.ended):
            self._fail((self.output.ended("Output failed", "."),), final=self.output.version < 2)
        elif self.flow.acks and pump.ended and not self.ledger.all_acknowledged:
            what = f"The output {self.output.program} ended without acknowledging the last checkpoint."
            self._fail((failure("Provider broke the protocol", what, self.output.tail),), final=False)

    def _end(self) -> SessionEnd:
        from dstream_state import LeaseLost

        pump = self.pump
        stopped = self.stop.requested or self._terminated_at is not None
        kind: Literal["ended", "stopped", "failed", "lost"]
        diagnostics = tuple(self._problems)
        if self._lost is not None:
            kind = "lost"
            why = self._lost.detail if isinstance(self._lost, LeaseLost) else str(self._lost)
            how = (
                f"{self.flow.name} was stopped at once: {why} Another runner may have it now; what was not stored "
                "is delivered again."
            )
            diagnostics = (failure("Lease of the task lost", how),)
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
            self.position,
        )


def _status(form: Mapping[str, Any] | None) -> str | None:
    """Return the status word of a version 1 answer in lower case, or None if the line is none."""
    if form is None:
        return None
    lowered = {name.lower(): value for name, value in form.items()}
    if "data" in lowered or not isinstance(lowered.get("status"), str):
        return None
    word = str(lowered["status"]).lower()
    return word if word in ("ready", "error") else None


def _refusal(form: Mapping[str, Any], side: Side) -> Diagnostic:
    lowered = {name.lower(): value for name, value in form.items()}
    text = side.redactor.text(str(lowered.get("message") or lowered.get("error") or "it gave no reason"))
    return failure("Provider reported an error", f"The {side.name} {side.program} refused to run: {text}", side.tail)
