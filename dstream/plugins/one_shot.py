"""One-shot: writes to a provider, closes its stdin, and reads until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from dstream.plugins.pipe_loop import Exchange, Log
from dstream.plugins.process import ProviderProcess
from dstream.plugins.redact import Redactor, Tail

_LAST_WORDS = 5.0
"""How long a provider may take to end once it has closed its standard output, in seconds."""


class Conversation(Struct, frozen=True):
    """The complete output."""

    lines: tuple[bytes, ...]
    rest: bytes
    """What came after the last newline."""
    exit_code: int | None
    timed_out: bool
    stopped: bool
    """Whether the listener has had it stopped."""
    overlong: bool
    tail: Tail

    @property
    def text(self) -> bytes:
        """The unmodified standard output."""
        return b"".join(line + b"\n" for line in self.lines) + self.rest


def converse(
    process: ProviderProcess,
    opening: bytes,
    *,
    timeout: float,
    redactor: Redactor,
    log: Log | None = None,
    go_on: Callable[[bytes], bool] = lambda _line: True,
) -> Conversation:
    """Write `opening`, close stdin, and collect lines until the process ends, `go_on(line)` is False or time is up."""
    exchange = Exchange(process, redactor, log)
    if opening:
        exchange.send(opening)
    exchange.finish()
    until = time.monotonic() + timeout
    lines: list[bytes] = []
    stopped = timed_out = False
    while not (exchange.ended or stopped or exchange.overlong):
        left = until - time.monotonic()
        if left <= 0:
            timed_out = True
            break
        for line in exchange.step(left):
            lines.append(line)
            if not go_on(line):
                stopped = True
                break
    code = exchange.close(_LAST_WORDS if exchange.ended else 0.0)
    return Conversation(tuple(lines), exchange.rest, code, timed_out, stopped, exchange.overlong, exchange.tail)
