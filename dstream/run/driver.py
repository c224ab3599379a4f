"""Driver: writes the opening lines, the output's first, and then pumps data from the input to the output."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from dstream.diagnostics import error, warning
from dstream.plugins.wire import decode_object
from dstream.run.ack_reader import AckReader
from dstream.run.checkpoint_tracker import CheckpointTracker
from dstream.run.committer import Committer
from dstream.run.end_reason import EndReason, Failure, SessionOver
from dstream.run.provider_answers import check_ready, last_line, version_1_refusal, version_1_status
from dstream.run.pump import LARGEST_KEPT, Pump, PumpOptions, RecordTooLong
from dstream.run.pump_handler import PumpHandler
from dstream.run.run_context import Attempt, RunContext
from dstream.run.session_providers import Providers

_GLANCE = 0.001
_BOM = b"\xef\xbb\xbf"


class Driver(PumpHandler):
    """`run` belongs to one thread; the attributes may be read from any."""

    def __init__(
        self,
        context: RunContext,
        attempt: Attempt,
        providers: Providers,
        reader: AckReader,
        tracker: CheckpointTracker,
        committer: Committer,
        reason: EndReason,
        on_ready: Callable[[], None],
    ) -> None:
        """Drive `providers` once they are started; `on_ready` is called when both are ready, before data moves."""
        self._context, self._attempt, self._providers = context, attempt, providers
        self._reader, self._tracker, self._committer, self._reason = reader, tracker, committer, reason
        self._on_ready = on_ready
        self.input_ready = threading.Event()
        self.pump: Pump | None = None
        self.input_ended = False
        """Whether everything that the input wrote was passed on."""
        self.stopping = False
        """Set by the session when it has asked the input to end."""
        self.finished = threading.Event()
        """Set by the session when `run` has returned."""

    def run(self) -> None:
        """Open both providers and move data until the input ends."""
        output = self._providers.output
        try:
            self._open_output()
            if output.version >= 2 and not self._reason.wait_until(self._reader.ready.is_set):
                return
            with contextlib.suppress(BrokenPipeError):  # an input that has exited also closes its stdout
                self.open_input()
            self.move()
        except BrokenPipeError:
            return  # the output has exited; the session finds out how

    def _open_output(self) -> None:
        flow = self._context.flow
        message = {"task": flow.task, "streams": list(flow.streams), "acks": flow.acks}
        output = self._providers.output
        _write(output.process.stdin, output.opening({**message, "record_limit": flow.record_limit}))

    def open_input(self) -> None:
        """Write the input's opening line."""
        flow, side = self._context.flow, self._providers.input
        if side.version < 2:
            side.started()
            self.input_ready.set()
            self._providers.record(self._context)
            self._on_ready()
            with contextlib.suppress(BrokenPipeError):
                _write(side.process.stdin, side.opening({}))
            side.process.close_stdin()
            return
        message: dict[str, Any] = {"task": flow.task, "checkpoint": self._committer.position, "acks": flow.acks}
        message["record_limit"] = flow.record_limit
        if flow.schemas:
            message["schemas"] = True
        if self._context.options.until_idle:
            message["until"] = "current"
        if self._attempt.max_records is not None:
            message["max_records"] = self._attempt.max_records
        _write(side.process.stdin, side.opening(message))

    def move(self) -> None:
        """Pump until the input ends, then let the output finish."""
        acks, attempt = self._context.flow.acks, self._attempt
        options = PumpOptions(
            acks,
            self._context.flow.record_limit,
            schemas=self._context.flow.schemas,
            skip=attempt.skip,
            limit=None if acks else attempt.max_records,
            envelopes=not acks,
            careful=attempt.careful,
        )
        source, sink = self._providers.input.process.stdout, self._providers.output.process.stdin
        self.pump = Pump(source, sink, options, self)
        try:
            self.pump.run()
        except RecordTooLong:
            what = (
                f"The input {self._providers.input.program} wrote a record of more than {LARGEST_KEPT >> 20} MiB, "
                "which is too long to be kept as a dead letter. Leave the record out at its source."
            )
            raise SessionOver(Failure((error("Record too long", what),), final=True)) from None
        self.input_ended = True
        self.finish(self.pump)

    def finish(self, pump: Pump) -> None:
        """Let the output finish, with `end` where the host has to write it."""
        source, output = self._providers.input, self._providers.output
        if pump.full:
            source.terminate()
        if not self._context.flow.acks and output.version >= 2:
            code = source.process.wait(self._context.options.grace)
            if code == 0 or pump.full or self.stopping:
                with contextlib.suppress(BrokenPipeError):
                    _write(output.process.stdin, b'{"end":true}\n')
        output.process.close_stdin()

    # -- what the pump reports -----------------------------------------------------------------------

    def before_write(self) -> None:
        """See `PumpHandler`."""
        self._context.lease.ensure()

    def on_first_line(self, line: bytes) -> int:
        """Take the input's answer to its opening line; see `PumpHandler`."""
        side, form = self._providers.input, decode_object(line)
        if side.version < 2:
            status = version_1_status(form)
            if status == "error" and form is not None:
                raise version_1_refusal(side, form)
            if status is not None:
                return len(line)
            return len(_BOM) if line.startswith(_BOM) else 0
        check_ready(side, form, line.rstrip(b"\r\n"))
        self.input_ready.set()
        self._on_ready()
        return len(line)

    def on_checkpoint(self, line: bytes, records: int) -> None:
        """See `PumpHandler`."""
        self._tracker.sent(line, records)

    def on_last_line(self, line: bytes) -> None:
        """See `PumpHandler`."""
        raise last_line(self._providers.input, line, decode_object(line))

    def on_text(self, lines: list[bytes]) -> None:
        """Show what an input whose delivery is not confirmed logs to its stdout; see `PumpHandler`."""
        side = self._providers.input
        for line in lines:
            form = decode_object(line)
            if side.version >= 2 and form is not None and form.get("status") == "error":
                raise last_line(side, line, form)
            side.show(line)

    def on_skipped(self, lines: list[bytes]) -> None:
        """See `PumpHandler`."""
        self._context.lease.dead_letters.append([(line, "left out by --skip-records") for line in lines])

    def on_oversized(self, line: bytes) -> None:
        """See `PumpHandler`: the record is durable, as a dead letter, before a later checkpoint is passed on."""
        import hashlib

        limit, key = self._context.flow.record_limit, hashlib.sha256(line).hexdigest()
        self._committer.keep_letters([(line, f"longer than record_limit ({len(line)} bytes, {limit} are allowed)")])
        what = (
            f"A record of {len(line)} bytes was not delivered, because record_limit is {limit}. It is kept as dead "
            f"letter {key}. To see it, run: dstream dlq show {self._context.flow.name} {key[:12]}"
        )
        self._context.reporter.problem(self._context.flow, warning("Record too long", what))

    def settle(self) -> None:
        """Wait until what was passed on is acknowledged, or never will be."""
        while not (self._tracker.all_acknowledged or self._reason.over or self._reader.ended.is_set()):
            time.sleep(_GLANCE)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
