"""Messages are packed to the bytes that the client library makes of them, into its own batch; or by the library."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus.exceptions import MessageSizeExceededError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from dstream_servicebus.outgoing_messages import Prepared, properties_of
from dstream_servicebus.packing import Packer
from providers.servicebus.tests.harness import add, sending
from providers.servicebus.tests.recorded_in import change
from tests.services.azure.running import ServiceBus

HALF = "\ud800"
TEXTS = some.text(max_size=300) | some.sampled_from(["", "a" * 255, "a" * 256, "é" * 127, "é" * 128])
WHOLE = some.integers(-(2**31), 2**31 - 1) | some.sampled_from([-129, -128, 127, 128])
OTHERS = some.sampled_from([None, 2**70, Decimal("1.10"), {"b": 1, "a": [None, "è"]}, [HALF], HALF, "long" * 1025])
VALUES = TEXTS | WHOLE | some.booleans() | OTHERS
PREPARED = some.builds(
    Prepared,
    line=some.just(b"{}"),
    body=some.binary(max_size=300) | some.sampled_from([b"x" * 255, b"x" * 256, b"x" * 70_000]),
    message_id=some.text(min_size=1, max_size=40),
    lane=some.none() | some.text(min_size=1, max_size=40),
    metadata=some.dictionaries(TEXTS | some.just(HALF), VALUES, max_size=130),
    subject=TEXTS,
)
SESSIONS = pytest.mark.parametrize("sessions", [True, False])


def prepared(**more: Any) -> Prepared:
    standard: dict[str, Any] = {"line": b"{}", "body": b'{"data":{}}', "message_id": "m", "lane": None}
    return Prepared(**{**standard, "metadata": {"TableName": "Orders", "n": 1}, "subject": "Insert", **more})


def by_library(messages: list[Prepared], sessions: bool, size: int) -> tuple[ServiceBusMessageBatch, int]:
    batch, packer = ServiceBusMessageBatch(size), Packer("application/json", sessions)
    for count, each in enumerate(messages):
        try:
            batch.add_message(packer.message(each))
        except MessageSizeExceededError:
            return batch, count
    return batch, len(messages)


def by_us(messages: list[Prepared], sessions: bool, size: int) -> tuple[ServiceBusMessageBatch, int]:
    batch = ServiceBusMessageBatch(size)
    return batch, Packer("application/json", sessions).fill(batch, messages, 0, len(messages))


def content(batch: Any) -> tuple[Any, ...]:
    """Everything that the library sends of a batch, and what it knows of it."""
    parts = list(batch._message)
    parts[5] = [bytes(each) for each in parts[5]]
    return parts, batch.size_in_bytes, len(batch)


@SESSIONS
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(messages=some.lists(PREPARED, min_size=1, max_size=5))
def test_a_batch_is_the_one_that_the_library_makes(messages: list[Prepared], sessions: bool) -> None:
    theirs, count = by_library(messages, sessions, 1_000_000)
    ours, until = by_us(messages, sessions, 1_000_000)
    assert until == count == len(messages)
    assert content(ours) == content(theirs)


@SESSIONS
def test_a_batch_ends_where_the_library_ends_it(sessions: bool) -> None:
    messages = [prepared(message_id=str(n), body=b"x" * (n * 7 % 300), lane="1") for n in range(46)]
    whole, packer = ServiceBusMessageBatch(1_000_000), Packer("application/json", sessions)
    for number, message in enumerate(messages[:-1], 1):
        whole.add_message(packer.message(message))
        for size, expected in ((whole.size_in_bytes - 1, number - 1), (whole.size_in_bytes, number)):
            theirs, count = by_library(messages, sessions, size)
            ours, until = by_us(messages, sessions, size)
            assert until == count == expected
            assert content(ours) == content(theirs)


def test_a_message_that_fits_into_no_batch_is_left_out() -> None:
    batch, until = by_us([prepared(body=b"x" * 5000), prepared()], False, 3000)
    assert (until, len(batch)) == (0, 0)


def test_a_part_of_the_messages_may_be_packed() -> None:
    messages = [prepared(message_id=str(n)) for n in range(10)]
    batch = ServiceBusMessageBatch(100_000)
    assert Packer("application/json", False).fill(batch, messages, 3, 7) == 7
    assert content(batch) == content(by_library(messages[3:7], False, 100_000)[0])


class Another(ServiceBusMessageBatch):
    """A batch of a release that adds something to each message."""

    def add_message(self, message: Any) -> None:
        message.application_properties["Added"] = "by the library"
        super().add_message(message)


class Renamed(ServiceBusMessageBatch):
    """A batch of a release that keeps its count elsewhere."""

    def __getattribute__(self, name: str) -> Any:
        if name == "_count":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__("kept" if name == "_count" else name, value)

    def _add(self, add_message: Any) -> None:
        object.__setattr__(self, "_messages", [*getattr(self, "_messages", []), add_message])


@pytest.mark.parametrize("kind", [Another, Renamed])
def test_a_library_that_packs_in_another_way_packs_all_of_them(
    kind: type[ServiceBusMessageBatch], capfd: pytest.CaptureFixture[str]
) -> None:
    packer, messages = Packer("application/json", False), [prepared(message_id=str(n)) for n in range(4)]
    first, second = kind(100_000), kind(100_000)
    assert packer.fill(first, messages, 0, 4) == 4
    assert packer.fill(second, messages, 0, 4) == 4
    assert [each.message_id for each in first._messages] == ["0", "1", "2", "3"]
    assert capfd.readouterr().err.count("using its own, slower packing") == 1, "it is said once"


@pytest.mark.usefixtures("trust")
def test_what_is_no_text_stays_in_the_body(bus: ServiceBus) -> None:
    assert properties_of({"TableName": "Orders", "Key": HALF, HALF: 1, "Città": "è"}) == {
        "TableName": "Orders",
        "Città": "è",
    }
    add(bus, "Orders_cdc_events")
    line = json.loads(change("Orders", 2))
    line["metadata"]["Note"] = line["metadata"]["OperationType"] = HALF
    with sending(bus) as output:
        output.send(change("Orders", 1), json.dumps(line), change("Orders", 3))
    _, half, _ = bus.store("Orders_cdc_events").history
    assert half.json()["metadata"]["Note"] == HALF
