"""The input: messages of a queue or subscription, held by peek-lock until the output has stored them."""

from __future__ import annotations

from collections.abc import Iterable

from dstream_sdk import Consequence, Finding, Input, InputSession, PlanContext, Resource, Stream
from dstream_servicebus.settings import InputSettings


class ServiceBusInput(Input[InputSettings]):
    """Reads one queue or subscription. A message is completed only after its position is committed."""

    preloads = ("azure.servicebus", "dstream_servicebus.clients", "dstream_servicebus.reader")

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream]:
        """Require no objects: the queue belongs to its writer. Yield a stream unless messages are envelopes."""
        if config.format == "message":
            yield Stream(name_of(config))

    def consequences(self, config: InputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Report how many messages wait, how long they are kept, and what receiving them would fail on."""
        from dstream_servicebus.consequences import input_consequences

        return input_consequences(config, name_of(config))

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Create the client. The queue is not accessed before `run`."""
        from dstream_servicebus.reader import Reader

        self._reader = Reader(config, session)

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read until stopped or, with `until`, until no message has arrived for `idle_seconds`."""
        self._reader.run()


def name_of(config: InputSettings) -> str:
    """Return the name of the source and of its stream."""
    return config.queue or f"{config.topic}/{config.subscription}"
