"""The counting input: one record every `interval` milliseconds, resumable, as fast as it can with 0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dstream_sdk import Consequence, Input, InputSession, InvalidError, PlanContext, Provider, Resource, Stream, setting

TABLE = "counter"
_BATCH = 1000
_SCHEMA = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "timestamp": {"type": "string", "format": "date-time"}},
    "required": ["value", "timestamp"],
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set."""

    interval: int = setting(1000, description="milliseconds between two records; 0: as fast as possible", minimum=0)
    max_count: int = setting(0, description="end after this value; 0: never", minimum=0)


class Counter(Input[Settings]):
    """Counts from 1, or on from the checkpoint."""

    def plan(self, config: Settings, context: PlanContext) -> Iterable[Resource | Stream]:
        """Return the one stream; a counter needs no objects."""
        return [Stream(TABLE, ("value",), _SCHEMA)]

    def consequences(self, config: Settings, context: PlanContext) -> Iterable[Consequence]:
        """Report the value after which it continues."""
        if context.prior.checkpoint is not None:
            age = context.prior.checkpoint_age
            hours = None if age is None else round(age / 3600, 2)
            value = _start(dict(context.prior.checkpoint))
            yield Consequence("resume", f"counting continues after {value}", stream=TABLE, hours=hours)

    def open(self, config: Settings, session: InputSession) -> None:
        """Refuse a checkpoint that is not a counter's."""
        _start(session.checkpoint_position)

    def run(self, config: Settings, session: InputSession) -> None:
        """Count until stopped or until `max_count`; a checkpoint follows each record, or each batch at
        speed."""
        value = _start(session.checkpoint_position)
        # A counter without an end holds nothing that waits to be read: it is current at once.
        endless = not config.max_count
        while (endless and not session.until_current) or value < config.max_count:
            if session.stopping or (config.interval and session.wait(config.interval / 1000)):
                break
            batch = 1 if config.interval else _BATCH
            if not endless:
                batch = min(batch, config.max_count - value)
            if session.max_records is not None:
                batch = min(batch, session.max_records - session.records)
            now = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
            session.emit_bytes(b"".join([_line(number, now) for number in range(value + 1, value + batch + 1)]), batch)
            value += batch
            session.checkpoint({"source": TABLE, "value": value})


def _line(value: int, now: bytes) -> bytes:
    return (
        b'{"data":{"value":%d,"timestamp":"%s"},"metadata":{"TableName":"counter","OperationType":"Insert",'
        b'"Key":{"value":%d}}}\n' % (value, now, value)
    )


def _start(position: dict[str, Any] | None) -> int:
    if position is None:
        return 0
    value = position.get("value")
    if position.get("source") != TABLE or not isinstance(value, int):
        raise InvalidError("Checkpoint of another input", "the stored checkpoint was not written by a counter")
    return value


PROVIDER = Provider("counter", distribution="dstream-in-counter", input=Counter())
