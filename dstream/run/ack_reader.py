"""AckReader: reads the output's acknowledgements and rejects, or under version 1 its text for the user."""

from __future__ import annotations

import os
import threading
import time

from dstream.diagnostics import error
from dstream.plugins.redact import RedactedLines
from dstream.plugins.wire import CONTROL_LIMIT, decode_object
from dstream.run.checkpoint_tracker import CheckpointTracker, ProtocolBroken
from dstream.run.committer import Committer
from dstream.run.end_reason import EndReason, Failure, SessionOver
from dstream.run.provider_answers import check_ready, last_line, version_1_refusal, version_1_status
from dstream.run.provider_handle import ProviderHandle
from dstream.run.run_context import RunContext

_CHUNK = 256 * 1024


class AckReader:
    """`run` belongs to one thread; the attributes may be read from any."""

    def __init__(
        self,
        context: RunContext,
        output: ProviderHandle,
        tracker: CheckpointTracker,
        committer: Committer,
        reason: EndReason,
    ) -> None:
        """Read from `output` once it is started."""
        self._context, self._output = context, output
        self._tracker, self._committer, self._reason = tracker, committer, reason
        self.ready = threading.Event()
        """Set when a version 2 output has answered its opening line."""
        self.ended = threading.Event()
        """Set when the output has closed its stdout, or the session is over for what it wrote."""
        self.rest = b""
        """The unfinished line with which the output's stdout ended."""
        self.last_ack = time.monotonic()

    def run(self) -> None:
        """Read until the output closes its stdout."""
        if self._output.version < 2:
            self._read_text()
        else:
            self._read_lines()

    def _read_lines(self) -> None:
        rest = b""
        while chunk := os.read(self._output.process.stdout, _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)
            if not self._context.flow.acks:
                self._committer.keep_letters()  # no checkpoint will come that they would be stored before
            if len(rest) > CONTROL_LIMIT:
                raise ProtocolBroken("output", "wrote a line of more than 16 MiB.")
        self.rest = rest

    def _take(self, line: bytes) -> None:
        if not self.ready.is_set():
            self._take_ready(line)
        elif line.startswith(b'{"checkpoint":'):
            self._tracker.acknowledged(line)
            self.last_ack = time.monotonic()
            self._committer.notify()
        elif line.startswith(b'{"reject":'):
            self._committer.reject(line)
        elif line.startswith(b'{"stream":'):
            raise self._new_stream(line)
        elif line.strip():
            raise last_line(self._output, line, decode_object(line))

    def _take_ready(self, line: bytes) -> None:
        form = decode_object(line)
        check_ready(self._output, form, line)
        if self._context.flow.stores_checkpoint and form is not None:
            found = form.get("checkpoint")
            self._committer.position = found if isinstance(found, dict) else None
        self.ready.set()
        self._reason.notify()

    def _new_stream(self, line: bytes) -> Exception:
        """Return the end of a session whose output needs objects for a stream that it was not given."""
        form = decode_object(line)
        stream = form.get("stream") if form is not None else None
        if not isinstance(stream, dict) or not isinstance(stream.get("name"), str):
            return ProtocolBroken("output", f"wrote a stream line without a name: {line[:200]!r}")
        what = f"{self._context.flow.name} delivers {stream['name']}, which its output was not given."
        return SessionOver(Failure((error("New table", what),), counts=False, discovered=(stream,)))

    def _read_text(self) -> None:
        output, flow, reporter = self._output, self._context.flow, self._context.reporter
        lines = RedactedLines(output.redactor, lambda line: reporter.text(flow, line))
        first, pending = True, b""
        while chunk := os.read(output.process.stdout, _CHUNK):
            if first:
                pending += chunk
                if b"\n" not in pending and len(pending) < CONTROL_LIMIT:
                    continue
                first = False
                line, _, chunk = pending.partition(b"\n")
                form = decode_object(line)
                status = version_1_status(form)
                if status == "error" and form is not None:
                    raise version_1_refusal(output, form)
                if status != "ready":
                    chunk = pending
            lines.feed(chunk)
        lines.feed(pending if first else b"")
        lines.close()
