"""The driver's thread: writes the opening lines, output first, and then is the pump."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from dstream.diagnostics import error
from dstream.plugins.errors import excerpt
from dstream.plugins.wire import decode_object
from dstream.run.checkpoint_tracker import ProtocolBroken, Sent
from dstream.run.committer import Settler
from dstream.run.provider_handle import Side
from dstream.run.pump import Pump, RecordTooLong
from dstream.run.session_state import Situation, refusal, status_of

_GLANCE = 0.001


class Driving(Situation):
    """What moves data from the input to the output."""

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
            on_error=self._input_error,
            skip=self._skip,
            on_skipped=self._skipped,
            limit=self._max_records if not acks else None,
            careful=self._careful,
            schemas=self.flow.schemas,
            settle=self._settle,
        )
        try:
            pump.run()
        except RecordTooLong:
            limit = self.options.max_record_bytes
            what = (
                f"The input {self.input.program} wrote a record of more than {limit} bytes, which is the limit. "
                "Raise max_record_bytes, or leave the record out at its source."
            )
            self._fail(error("Record too long", what), final=True)
            return
        self._input_done = True
        self._after_input(pump)

    def _open_input(self, acks: bool) -> None:
        with contextlib.suppress(BrokenPipeError):  # an input that is gone already also closes its stdout
            self._tell_input(acks)

    def _tell_input(self, acks: bool) -> None:
        if self.input.version < 2:
            self.input.started()
            self._input_ready.set()
            self._record_processes()
            self._ready()
            with contextlib.suppress(BrokenPipeError):
                self._write(self.input, self.input.opening({}))
            self.input.process.close_stdin()
            return
        message: dict[str, Any] = {"task": self.flow.task, "checkpoint": self.position, "acks": acks}
        if self.flow.schemas:
            message["schemas"] = True
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
        status = status_of(form)
        if self.input.version < 2:
            if status == "error":
                assert form is not None  # noqa: S101 - it has a status
                self._fail(refusal(form, self.input), side=self.input, final=True)
                raise BrokenPipeError  # ends this thread; the reason is recorded
            if status is not None:
                return len(line)
            return 3 if line.startswith(b"\xef\xbb\xbf") else 0
        self._answered(self.input, form, line.rstrip(b"\r\n"))
        self._input_ready.set()
        self._ready()
        return len(line)

    def _input_error(self, line: bytes) -> None:
        """The input has written, as its last line, why it cannot go on."""
        form = decode_object(line)
        if form is None or form.get("status") != "error":
            shown = excerpt(line, self.input.redactor)
            raise ProtocolBroken("input", f"wrote a line that is no part of the protocol: {shown}")
        self._cannot_go_on(self.input, form)

    def _ready(self) -> None:
        if self.flow.acks:
            self.settler = self.make_settler()
            self._thread("settler", self.settler.run)
        self.reporter.session_started(self.flow, self._number, self.position)

    def _settle(self) -> None:
        """Wait until what was passed on is acknowledged, or never will be."""
        while not (self.ledger.all_acknowledged or self._problems or self._output_silent.is_set()):
            time.sleep(_GLANCE)

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
        self.position, self._stored_records = sent.position, sent.records
        self.reporter.stored(self.flow, sent.position)

    def _record_processes(self) -> None:
        from dstream_state import ProcessStarted
        from dstream_state.processes import this_host

        running = [side.process for side in (self.input, self.output) if side is self.output or side.version >= 2]
        if self.input.version < 2 and self._input_ready.is_set():
            running.append(self.input.process)
        self.lease.record_processes([ProcessStarted(each.pid, each.started, this_host()) for each in running])
