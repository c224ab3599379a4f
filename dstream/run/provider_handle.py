"""ProviderHandle: one provider process of a session; a thread of its own reads, redacts and logs its stderr."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.plugins.process import ProviderProcess, Starting, describe_exit
from dstream.plugins.redact import RedactedLines, Redactor, Tail
from dstream.plugins.wire import encode
from dstream.run.flow import Endpoint, SideName
from dstream.run.transfer import widen

_CHUNK = 64 * 1024


class ProviderHandle:
    """Start it with `begin`, use it after `started`."""

    def __init__(
        self, name: SideName, endpoint: Endpoint, begin: Callable[[], Starting], log: Callable[[str], None]
    ) -> None:
        """Start nothing yet: `begin` will, without waiting. Each line of stderr will go to `log`."""
        self.name = name
        self.endpoint = endpoint
        self.program = endpoint.binary.name
        self.redactor = Redactor(endpoint.secrets)
        self.tail = Tail()
        self.code: int | None = None
        """How the process ended; None while it runs."""
        self.killed = False
        """Whether the session has killed it: its exit code then says nothing about it."""
        self._begin, self._log = begin, log
        self._starting: Starting | None = None
        self._process: ProviderProcess | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()
        self._shut = False

    @property
    def version(self) -> int:
        """The protocol version that it speaks."""
        return self.endpoint.info.protocol

    @property
    def running(self) -> bool:
        """Whether `started` has returned; the process may have ended since."""
        return self._process is not None

    @property
    def process(self) -> ProviderProcess:
        """The process. Only after `started`."""
        assert self._process is not None  # noqa: S101 - a mistake in this package, not of a user
        return self._process

    def begin(self) -> None:
        """Start the process without waiting for it; raise DiagnosticsError after `shut`."""
        with self._lock:
            if self._shut:
                raise DiagnosticsError(error("Session already over", f"{self.program} was not started."))
            if self._starting is None:
                self._starting = self._begin()

    def started(self) -> ProviderProcess:
        """Wait until the process runs; raise DiagnosticsError if it cannot be started."""
        self.begin()
        assert self._starting is not None  # noqa: S101 - `begin` has set it
        self._process = self._starting.result()
        for descriptor in (self._process.stdin, self._process.stdout):
            widen(descriptor)
        self._reader = threading.Thread(target=self._read_errors, name=f"{self.name} stderr", daemon=True)
        self._reader.start()
        return self._process

    def _read_errors(self) -> None:
        lines = RedactedLines(self.redactor, self._line)
        while chunk := os.read(self.process.stderr, _CHUNK):
            lines.feed(chunk)
        lines.close()

    def show(self, line: bytes) -> None:
        """Log a line that the process wrote to its stdout, as those of its stderr."""
        lines = RedactedLines(self.redactor, self._line)
        lines.feed(line + b"\n")

    def _line(self, line: str) -> None:
        self.tail.add(line)
        self._log(line)

    def opening(self, message: Mapping[str, Any]) -> bytes:
        """Return the opening line: the members of `message` only if the provider speaks version 2."""
        config = self.endpoint.config_json
        if self.version < 2:
            return encode({"command": "run", "config": config})
        return encode({"command": "run", "protocol": 2, "role": self.name, **message, "config": config})

    def look(self) -> bool:
        """Return whether the process has ended, and note how."""
        if self._process is not None and self.code is None:
            self.code = self._process.poll()
        return self.code is not None

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it immediately."""
        if self._process is not None and not self.look():
            self.killed = True
            self._process.kill()

    def shut(self) -> None:
        """Kill the process if it runs, and never start it from now on."""
        with self._lock:
            self._shut = True
        if self._process is None and self._starting is not None:
            with contextlib.suppress(DiagnosticsError):
                self._starting.result().kill()
        self.kill()

    def finish(self) -> None:
        """Wait for the killed process, read its stderr to the end and close its pipes."""
        if self._process is None:
            return
        self.kill()
        self.code = self._process.wait(5.0)
        if self._reader is not None:
            self._reader.join(2.0)
        self._process.close()

    def ended(self, summary: str, more: str) -> Diagnostic:
        """Return an error that says how the process ended; `more` is the end of the sentence."""
        return error(summary, f"The {self.name} {self.program} {describe_exit(self.code)}{more}")
