"""A provider's process, held by a test: write lines to it, read lines from it, never wait forever."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, cast

from dstream_sdk.testing.transcript import as_line

TIMEOUT = 30.0
"""Seconds to wait for a line or an exit: generous, since a loaded machine is slow."""


class Failed(AssertionError):
    """The provider did something else than it should have; the message ends with its stderr."""


class ProviderProcess:
    """One run of a provider; a context manager that ends it whatever happens."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
        """Start the provider; `env` is added to this process's environment."""
        self.timeout = timeout
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", pipes)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._readers = [threading.Thread(target=each, daemon=True) for each in (self._read_out, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> ProviderProcess:
        """Return the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, if it still runs, and what it started."""
        self.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join(self.timeout)
        self._stdout.close()
        self._stderr.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code (negative for the signal that killed it), None while it runs."""
        return self._process.poll()

    def send(self, *values: Any) -> None:
        """Write objects, one per line."""
        self.send_text(b"".join(map(as_line, values)))

    def send_text(self, text: bytes) -> None:
        """Write bytes as they are. A provider that no longer reads is detected by its next action, not here."""
        with contextlib.suppress(OSError, ValueError):  # it is gone, or its input was closed by another thread
            self._stdin.write(text)
            self._stdin.flush()

    def close(self) -> None:
        """Close the provider's standard input."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def signal(self, name: str) -> None:
        """Send a signal, such as SIGTERM, to the provider."""
        self._process.send_signal(signal.Signals[name])

    def line(self) -> bytes | None:
        """Return the next line of standard output with its newline (without: half a line), None at the end."""
        try:
            found = self._lines.get(timeout=self.timeout)
        except queue.Empty:
            raise self.failed(f"nothing was written within {self.timeout:.0f} s") from None
        if found is None:
            self._lines.put(None)
        return found

    def lines(self) -> Iterator[bytes]:
        """Yield each further line when it arrives, without a timeout."""
        while (line := self._lines.get()) is not None:
            yield line
        self._lines.put(None)

    def read(self) -> dict[str, Any]:
        """Return the next line as an object."""
        line = self.line()
        if line is None:
            raise self.failed("the output ended where a line was expected")
        try:
            value = json.loads(line)
        except ValueError:
            raise self.failed(f"not JSON: {line!r}") from None
        if not isinstance(value, dict) or not line.endswith(b"\n"):
            raise self.failed(f"not an object on a line: {line!r}")
        return value

    def rest(self) -> list[bytes]:
        """Return all further lines up to the end of standard output."""
        found = []
        while (line := self.line()) is not None:
            found.append(line)
        return found

    def wait(self) -> int:
        """Return the exit code: negative for the signal that killed it."""
        try:
            return self._process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            raise self.failed(f"still running after {self.timeout:.0f} s") from None

    def stderr(self) -> str:
        """Return the provider's standard error so far: all of it, once it has exited."""
        if self._process.poll() is not None:
            self._readers[1].join(self.timeout)
        return b"".join(self._errors).decode("utf-8", "replace")

    def failed(self, what: str) -> Failed:
        """Return the failure to raise, with the end of standard error."""
        output = self.stderr().strip()
        return Failed(f"{what}\nstderr: {output[-2000:]}" if output else what)

    def _read_out(self) -> None:
        for line in self._stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in self._stderr:
            self._errors.append(line)
