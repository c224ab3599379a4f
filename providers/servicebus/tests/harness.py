"""The output driven by hand, in this process: over the real client library, to the stand-in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from dstream_sdk import Stream, decode
from dstream_servicebus.output import ServiceBusOutput
from dstream_servicebus.settings import OutputSettings
from tests.services.azure.running import ServiceBus


class Session:
    """What an output needs of its session."""

    def __init__(self, tables: Sequence[str]) -> None:
        self.task = "copy"
        self.acks = True
        self.streams = tuple(Stream(name, ("id",)) for name in tables)
        self.rejected: list[tuple[bytes, str]] = []

    def reject(self, line: bytes, reason: str) -> None:
        """Keep what is refused."""
        self.rejected.append((line, reason))


class Sending:
    """An output that is open."""

    def __init__(self, bus: ServiceBus, delivered: Sequence[str], **settings: Any) -> None:
        given = {"connection_string": bus.connection_string, "throttle_wait": 0.05, **settings}
        self.session = Session(delivered)
        self.output = ServiceBusOutput()
        self.output.open(decode(OutputSettings, given), self.session)  # type: ignore[arg-type]  # what it uses of one

    def send(self, *lines: str) -> None:
        """Send envelopes, and return when they are stored."""
        self.output.write([line.encode() for line in lines])
        self.output.flush({})

    @property
    def reasons(self) -> list[str]:
        """Why envelopes were refused."""
        return [reason for _, reason in self.session.rejected]


@contextlib.contextmanager
def sending(bus: ServiceBus, delivered: Sequence[str] = ("Orders",), **settings: Any) -> Iterator[Sending]:
    """Open an output after an input that delivers some tables."""
    opened = Sending(bus, delivered, **settings)
    try:
        yield opened
    finally:
        opened.output.close(True)


class Emitted:
    """What an input needs of its session: keeps what is emitted, and says at once that it is stored."""

    stopping = False
    until_current = True

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.committed: Any = None

    def emit_bytes(self, lines: bytes, count: int) -> None:
        """Keep envelopes."""
        assert lines.count(b"\n") == count - 1
        self.lines += lines.split(b"\n")

    def checkpoint(self, position: Any) -> None:
        """Take everything for stored."""
        self.committed = position

    def wait(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def add(bus: ServiceBus, *names: str, **properties: Any) -> None:
    """Create queues."""
    for name in names:
        bus.model.put(bus.namespace, "queue", name, properties)
