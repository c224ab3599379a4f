"""The reader's thread: takes what the output says: acknowledgements, refusals, or under version 1 text for the user."""

from __future__ import annotations

import os
import time

from dstream.diagnostics import error
from dstream.plugins.errors import excerpt
from dstream.plugins.redact import RedactedLines
from dstream.plugins.wire import CONTROL_LIMIT, decode_object
from dstream.run.checkpoint_tracker import ProtocolBroken
from dstream.run.session_state import Situation, refusal, status_of

_CHUNK = 256 * 1024


class Listening(Situation):
    """What listens to the output."""

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
        self._output_rest = rest

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
        elif line.startswith(b'{"stream":'):
            self._discover(line)
        elif line.strip():
            form = decode_object(line)
            if form is not None and form.get("status") == "error":
                self._cannot_go_on(self.output, form)
            shown = excerpt(line, self.output.redactor)
            raise ProtocolBroken("output", f"wrote a line that is no part of the protocol: {shown}")

    def _discover(self, line: bytes) -> None:
        """The output cannot go on without objects for a stream: end the session; the supervisor sees to them."""
        form = decode_object(line)
        stream = form.get("stream") if form is not None else None
        if not isinstance(stream, dict) or not isinstance(stream.get("name"), str):
            raise ProtocolBroken("output", f"wrote a stream line without a name: {line[:200]!r}")
        self._discovered.append(stream)
        what = f"{self.flow.name} delivers {stream['name']}, which its output was not told of."
        self._fail(error("New table", what), counts=False)
        raise BrokenPipeError  # ends this thread; the reason is recorded

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
                status = status_of(form)
                if status == "error" and form is not None:
                    self._fail(refusal(form, self.output), side=self.output, final=True)
                    raise BrokenPipeError
                if status != "ready":
                    chunk = pending
            lines.feed(chunk)
        lines.feed(pending if first else b"")
        lines.close()
