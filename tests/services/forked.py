"""Forked: a command or a program that runs as a fork of the command server, with what tests use of a Popen."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any


class Forked:
    """A running process. Its parent is the server, which takes its status as soon as it has ended."""

    def __init__(
        self,
        argv: Sequence[str],
        streams: Sequence[int],
        status: int,
        count: Callable[[float], None],
        *,
        text: bool = False,
    ) -> None:
        """Take our ends of its streams and of the pipe of its status; `count` gets its processor time in seconds.

        Returns when it runs and, where that was asked for, leads its session.
        """
        self.args = list(argv)
        self.returncode: int | None = None
        self._status, self._count = status, count
        self._lock = threading.Lock()
        self._said: tuple[Any, Any] | None = None
        self.pid = int(self._line(None))
        opened: list[IO[Any]] = [open(end, "wb" if at == 0 else "rb") for at, end in enumerate(streams)]  # noqa: SIM115
        if text:
            opened = [io.TextIOWrapper(each, "utf-8", line_buffering=at == 0) for at, each in enumerate(opened)]  # type: ignore[arg-type]
        self.stdin, self.stdout, self.stderr = opened

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), or None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], 0)[0]:
                self._take()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise subprocess.TimeoutExpired after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with contextlib.suppress(OSError, ValueError):  # another thread has taken the status
                select.select([self._status], [], [], left)
        return code

    def _take(self) -> None:
        status, processor = self._line(None).split()
        os.close(self._status)
        self._status = -1
        self.returncode = os.waitstatus_to_exitcode(int(status))
        self._count(float(processor))

    def _line(self, timeout: float | None) -> str:
        line = b""
        while not line.endswith(b"\n"):
            chunk = os.read(self._status, 1)
            if not chunk:
                raise RuntimeError("the command server has ended")
            line += chunk
        return line.decode()

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write `input` and close standard input; return both outputs when it has ended, also when asked again."""
        if self._said is not None:
            return self._said
        found: dict[IO[Any], Any] = {}

        def read(stream: IO[Any]) -> None:
            found[stream] = stream.read()
            stream.close()

        readers = [threading.Thread(target=read, args=(each,), daemon=True) for each in (self.stdout, self.stderr)]
        for reader in readers:
            reader.start()
        with contextlib.suppress(BrokenPipeError):
            if input:
                self.stdin.write(input)
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        until = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        self._said = found[self.stdout], found[self.stderr]
        return self._said

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        """Return the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its streams and wait for its end."""
        for stream in (self.stdout, self.stderr, self.stdin):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.wait()
