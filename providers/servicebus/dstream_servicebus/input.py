"""The input: messages of a queue or subscription, held by peek-lock until what became of them is stored."""

from __future__ import annotations

from collections.abc import Iterable

from dstream_sdk import Input, InputSession, PlanContext, Resource, Stream
from dstream_servicebus.settings import InputSettings


class ServiceBusInput(Input[InputSettings]):
    """Reads one queue or subscription. A message is completed when its position is committed, and not before."""

    preloads = ("azure.servicebus", "dstream_servicebus.access", "dstream_servicebus.reading")

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream]:
        """Needs nothing: the queue belongs to who writes to it. Names a stream where messages are no envelopes."""
        if config.format == "message":
            yield Stream(name_of(config))

    def open(self, config: InputSettings, session: InputSession) -> None:
        """Make the clients; the queue is looked at when it is read."""
        from dstream_servicebus.reader import Reader

        self._reader = Reader(config, session)

    def run(self, config: InputSettings, session: InputSession) -> None:
        """Read until stopped, or, with `until`, until no message has arrived for some time."""
        self._reader.run()


def name_of(config: InputSettings) -> str:
    """Return the name of the source, which is the name of its stream."""
    return config.queue or f"{config.topic}/{config.subscription}"
