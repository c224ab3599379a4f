"""Talk: one conversation with the provider under test, line by line, with a time limit on every wait."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.result import Departed
from dstream.plugins.environment import provider_environment
from dstream.plugins.pipe_loop import Exchange
from dstream.plugins.process import begin_binary, describe_exit
from dstream.plugins.redact import Redactor
from dstream.plugins.wire import decode_object, encode

PATIENCE = 10.0
_CHECKPOINT = b'{"checkpoint":'
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux, absent from fcntl elsewhere


class Talk:
    """A context manager; leaving it ends the provider."""

    def __init__(self, binary: Binary, opening: Mapping[str, Any] | bytes | None, **environment: str) -> None:
        """Start the provider and write the opening line."""
        seen = {**provider_environment(binary.source.env), **environment}
        process = begin_binary(binary, environment=seen).result()
        self._stderr: list[str] = []
        self._exchange = Exchange(process, Redactor(), self._stderr.append)
        self._lines: list[bytes] = []
        self.received: list[bytes] = []
        """All lines that were taken."""
        self.commits = False
        """Whether to commit each checkpoint as soon as it is read, as a host does that has stored it."""
        self.code: int | None = None
        if isinstance(opening, bytes):
            self._exchange.send(opening)
        elif opening is not None:
            self._exchange.send(encode(opening))

    def send(self, *lines: Mapping[str, Any] | bytes) -> None:
        """Write lines: objects, or bytes as they are."""
        self._exchange.send(b"".join(line if isinstance(line, bytes) else encode(line) for line in lines))

    def close_input(self) -> None:
        """Close the provider's standard input."""
        self._exchange.finish()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._exchange.process.terminate()

    def kill(self) -> None:
        """End the provider without a warning (SIGKILL)."""
        self._exchange.process.kill()
        self._exchange.process.wait(5.0)

    def hold(self) -> None:
        """Stop reading stdout, and leave so little room in its pipe that a long line holds the provider up."""
        self._exchange.reading = False
        narrow(self._exchange.process.stdout)

    def answers_unread(self, seconds: float) -> bool:
        """Wait, without reading stdout, until it has data; return whether it has."""
        until = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._exchange.process.stdout, select.POLLIN)
        while time.monotonic() < until:
            self._exchange.step(0.01)
            for _, event in poll.poll(10):
                return bool(event & select.POLLIN)
        return False

    def line(self, seconds: float = PATIENCE) -> bytes | None:
        """Return the next line; None when stdout has ended or nothing came in time."""
        until = time.monotonic() + seconds
        while not self._lines and not self._exchange.ended and time.monotonic() < until:
            self._lines += self._exchange.step(until - time.monotonic())
        if not self._lines:
            return None
        line = self._lines.pop(0)
        self.received.append(line)
        if line.startswith(_CHECKPOINT) and self.commits and (form := decode_object(line)) is not None:
            self.send({"committed": {"n": form.get("n"), "checkpoint": form.get("checkpoint")}})
        return line

    @property
    def ended(self) -> bool:
        """Whether stdout has ended and all its lines have been taken."""
        return self._exchange.ended and not self._lines

    def object(self, what: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Return the next line as an object; raise Departed if there is none."""
        line = self.line(seconds)
        if line is None:
            raise Departed(f"it wrote no {what}{self.why()}")
        form = decode_object(line)
        if form is None:
            raise Departed(f"it wrote {line[:200]!r} in place of {what}")
        return form

    def until(self, condition: Callable[[bytes], bool], seconds: float = PATIENCE) -> bool:
        """Take lines until one meets the condition; return whether one did."""
        until = time.monotonic() + seconds
        while (line := self.line(max(until - time.monotonic(), 0.0))) is not None:
            if condition(line):
                return True
        return False

    def rest(self, seconds: float = PATIENCE) -> list[bytes]:
        """Return all further lines until stdout ends; raise Departed if it does not end in time."""
        start = len(self.received)
        self.until(lambda _line: False, seconds)
        if not self._exchange.ended:
            raise Departed(f"it was still running after {seconds:g} s")
        self.code = self._exchange.close(5.0)
        if self._exchange.rest:
            raise Departed(f"its last line has no newline: {self._exchange.rest[:200]!r}")
        return self.received[start:]

    def why(self) -> str:
        """Return the provider's exit and its stderr, as the end of a sentence."""
        code = self._exchange.process.poll()
        tail = str(self._exchange.tail)
        ended = f": it {describe_exit(code)}" if code is not None else " in time"
        return ended + (f"\nIts stderr ends with:\n{tail}" if tail else "")

    @property
    def stderr(self) -> str:
        """Its stderr so far, unmodified."""
        return "\n".join(self._stderr)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the provider."""
        self._exchange.close()


def narrow(descriptor: int) -> None:
    """Ask for a pipe of one page; where that is refused, a long line may still fit."""
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, 4096)
