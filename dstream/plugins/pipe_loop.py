"""Pipe loop: one event loop over the three pipes of a provider, so that both sides can read while they write."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections.abc import Callable
from functools import partial

from dstream.plugins.process import ProviderProcess
from dstream.plugins.provider_log import note
from dstream.plugins.redact import RedactedLines, Redactor, Tail
from dstream.plugins.wire import CONTROL_LIMIT

Log = Callable[[str], None]
_CHUNK = 256 * 1024
_LOOK = 0.1
"""Seconds between looks for the end of a process whose pipes another process still holds."""


class Exchange:
    """What is sent to and received from one process. `step` belongs to one thread; `send` to any."""

    def __init__(self, process: ProviderProcess, redactor: Redactor, log: Log | None = None) -> None:
        """Take a process; redacted lines of its stderr go to the tail that errors show and to `log`, else the notes."""
        self.process = process
        self.tail = Tail(redactor)
        self.rest = b""
        """What came after the last newline."""
        self.ended = False
        """Whether the process has closed its standard output."""
        self.reading = True
        """Whether standard output is read; while it is not, the process has to wait when its pipe is full."""
        self.overlong = False
        """Whether a line was longer than a control line may be."""
        self._log = log or partial(note, "info", process.name)
        self._errors = RedactedLines(redactor, self._error_line)
        self._errors_ended = False
        self._lock = threading.Lock()
        self._outgoing = bytearray()
        self._closing = False
        self._stdin_open = True
        self._closed = False
        self._woken = False
        """Whether the pipe that wakes has something in it."""
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (process.stdin, process.stdout, process.stderr, self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)

    def _error_line(self, line: str) -> None:
        self.tail.add(line)
        self._log(line)

    def send(self, data: bytes) -> None:
        """Write `data` as soon as the process takes it; does not wait."""
        self.put(data)
        self.wake()

    def put(self, data: bytes) -> None:
        """Write `data` in the next `step`; for the thread that makes the steps."""
        with self._lock:
            self._outgoing += data

    def finish(self) -> None:
        """Close the process's standard input once all is written."""
        with self._lock:
            self._closing = True
        self.wake()

    def wake(self) -> None:
        """Make a waiting `step` return."""
        with self._lock, contextlib.suppress(OSError):
            if not self._woken:
                self._woken = True
                os.write(self._wake_write, b"x")

    @property
    def outgoing(self) -> int:
        """How many bytes the process has not taken yet."""
        return len(self._outgoing)

    def step(self, timeout: float) -> list[bytes]:
        """Wait at most `timeout` seconds for something to happen; return the lines that came, without newlines."""
        self._write()
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if self.reading and not self.ended:
            poll.register(self.process.stdout, select.POLLIN)
        if not self._errors_ended:
            poll.register(self.process.stderr, select.POLLIN)
        if self._stdin_open and self._outgoing:
            poll.register(self.process.stdin, select.POLLOUT)
        events = poll.poll(max(0.0, min(timeout, _LOOK)) * 1000)
        if not events:
            self.process.poll()
        ready = {descriptor for descriptor, _ in events}
        if self._wake_read in ready:
            with self._lock, contextlib.suppress(BlockingIOError):
                self._woken = False
                os.read(self._wake_read, 4096)
        if self.process.stderr in ready:
            self._read_errors()
        if self.process.stdin in ready:
            self._write()
        return self._read() if self.process.stdout in ready else []

    def _write(self) -> None:
        with self._lock:
            if not self._stdin_open:
                return
            try:
                while self._outgoing:
                    del self._outgoing[: os.write(self.process.stdin, memoryview(self._outgoing)[:_CHUNK].tobytes())]
            except BlockingIOError:
                return
            except OSError as problem:
                if problem.errno not in (errno.EPIPE, errno.EBADF):
                    raise
                self._outgoing.clear()
                self._close_stdin()
                return
            if self._closing:
                self._close_stdin()

    def _close_stdin(self) -> None:
        self._stdin_open = False
        self.process.close_stdin()

    def _read_errors(self) -> None:
        try:
            chunk = os.read(self.process.stderr, _CHUNK)
        except BlockingIOError:
            return
        if chunk:
            self._errors.feed(chunk)
        else:
            self._errors_ended = True
            self._errors.close()

    def _read(self) -> list[bytes]:
        try:
            chunk = os.read(self.process.stdout, _CHUNK)
        except BlockingIOError:
            return []
        if not chunk:
            self.ended = True
            return []
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        self.overlong = self.overlong or len(self.rest) > CONTROL_LIMIT
        return lines

    def close(self, patience: float = 0.0) -> int | None:
        """Wait `patience` seconds for the process to end, then end it; return its exit code.

        What is left of stderr is read to its end, so that `tail` is complete.
        """
        if self._closed:
            return self.process.poll()
        self._closed = True
        with self._lock:
            if self._stdin_open:
                self._close_stdin()
        self.process.wait(patience)
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait(5.0)
        while not self._errors_ended:
            waiting = select.poll()
            waiting.register(self.process.stderr, select.POLLIN)
            if not waiting.poll(200):
                break
            self._read_errors()
        self._errors.close()
        self.process.close()
        os.close(self._wake_read)
        with self._lock:
            write, self._wake_write = self._wake_write, -1
        os.close(write)
        return code
