"""The input: messages become envelopes, and are completed when they are stored, not before."""

from __future__ import annotations

import json
import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from dstream_sdk import decode
from dstream_servicebus.reader import Reader
from dstream_servicebus.settings import InputSettings
from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.harness import Emitted, add
from providers.servicebus.tests.recorded_in import change
from tests.events import PATIENCE, until

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

TASK = """
task "copy" {{
  input {{
    provider = "asb"
    config {{
      connection_string = env("ASB_CONNECTION")
      idle_seconds      = 2
      {input}
    }}
  }}
  output {{
    provider = "jsonl"
    config {{ path = "out.jsonl" }}
  }}
}}
"""


def write(folder: Folder, input: str) -> None:
    folder.path.joinpath("dstream.hcl").write_text(TASK.format(input=input))
    folder.apply()


def send(folder: Folder, queue: str, *messages: ServiceBusMessage | str) -> None:
    with ServiceBusClient.from_connection_string(folder.bus.connection_string) as client:
        sender = client.get_queue_sender(queue)
        for at in range(0, len(messages), 100):
            batch = [m if isinstance(m, ServiceBusMessage) else ServiceBusMessage(m) for m in messages[at : at + 100]]
            sender.send_messages(batch, timeout=20)


def got(folder: Folder) -> list[dict[str, Any]]:
    path = folder.path / "out.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def left(folder: Folder, queue: str) -> int:
    return len(folder.bus.store(queue).everything())


def test_envelopes_come_back_as_they_were_sent_and_are_completed(folder: Folder) -> None:
    add(folder.bus, "q")
    lines = [change("Orders", n, n=n) for n in range(250)]
    lines[3] = lines[3].replace('"n": 3', '"n": 3.10')
    send(folder, "q", *lines)
    write(folder, 'queue = "q"')
    folder.run()
    assert got(folder) == [json.loads(line) for line in lines]
    assert "3.10" in (folder.path / "out.jsonl").read_text()
    assert left(folder, "q") == 0


def test_other_messages_are_wrapped_with_what_is_known_of_them(folder: Folder) -> None:
    add(folder.bus, "q")
    properties: dict[Any, Any] = {"p": "v", "n": 5, "x": float("nan")}
    labelled = ServiceBusMessage('{"a": 1}', subject="s", message_id="m", application_properties=properties)
    odd = ['{"data":{"a":NaN}}', '{"a": -Infinity}', '{"a":1e9999999999999999999}', "[" * 200_000]
    send(folder, "q", labelled, "plain text", "[1, 2]", ServiceBusMessage(b"\xff\x00"), *odd)
    write(folder, 'queue = "q"')
    folder.run()
    first, *rest = got(folder)
    assert (first["data"], first["metadata"]["Properties"]) == ({"a": 1}, {"p": "v", "n": 5, "x": "nan"})
    assert first["metadata"]["TableName"] == "q" and first["metadata"]["MessageId"] == "m"
    bodies = [{"body": "plain text"}, {"body": [1, 2]}, {"body_base64": "/wA="}, *({"body": each} for each in odd)]
    assert [each["data"] for each in rest] == bodies
    positions = [each["metadata"]["Position"] for each in (first, *rest)]
    assert positions == sorted(set(positions))


def test_what_a_killed_run_had_not_stored_comes_again(folder: Folder) -> None:
    add(folder.bus, "q", lockDuration="PT2S", maxDeliveryCount=100)
    lines = [change("Orders", n, n=n) for n in range(400)]
    send(folder, "q", *lines)
    write(folder, 'queue = "q"\n prefetch = 50')
    runner = folder.start("run", "copy", "-until-idle")
    until(lambda: len(got(folder)) >= 60, "the first messages", process=runner)
    os.killpg(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=PATIENCE)
    assert left(folder, "q") > 0
    until(lambda: not folder.bus.store("q").locked, "the locks to expire")
    folder.run()
    assert {each["data"]["n"] for each in got(folder)} == set(range(400))
    assert left(folder, "q") == 0


def test_sessions_are_read_one_after_the_other_and_in_order(folder: Folder) -> None:
    add(folder.bus, "q", requiresSession=True)
    for number in range(30):
        text = change("Orders", number, key=number % 3, n=number)
        send(folder, "q", ServiceBusMessage(text, session_id=str(number % 3)))
    write(folder, 'queue = "q"\n sessions = true')
    folder.run()
    rows: dict[int, list[int]] = {}
    for each in got(folder):
        rows.setdefault(each["data"]["id"], []).append(each["data"]["n"])
    assert rows == {key: list(range(key, 30, 3)) for key in range(3)}
    assert left(folder, "q") == 0


def test_changing_the_session_does_not_count_as_idle(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    add(folder.bus, "q", requiresSession=True)
    for number in range(3):
        send(folder, "q", ServiceBusMessage("mine", session_id=str(number)))
    disconnect, passed = Reader._disconnect, [0.0]

    def slowly(reader: Reader) -> None:
        passed[0] += 60.0
        disconnect(reader)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0], sleep=time.sleep)
    monkeypatch.setattr("dstream_servicebus.reader.time", clock)
    monkeypatch.setattr(Reader, "_disconnect", slowly)
    given = {"connection_string": folder.bus.connection_string, "queue": "q", "sessions": True, "idle_seconds": 0.5}
    session = Emitted()
    Reader(decode(InputSettings, given), session).run()  # type: ignore[arg-type]  # what it uses of one
    assert len(session.lines) == 3 and left(folder, "q") == 0


def test_subscriptions_and_dead_letters_are_read_too(folder: Folder) -> None:
    bus = folder.bus
    bus.model.put(bus.namespace, "topic", "t", {})
    bus.model.put(bus.namespace, "subscription", "t/Subscriptions/mine", {})
    with ServiceBusClient.from_connection_string(bus.connection_string) as client:
        client.get_topic_sender("t").send_messages(ServiceBusMessage("one"), timeout=20)
    write(folder, 'topic = "t"\n subscription = "mine"')
    folder.run()
    assert [each["data"] for each in got(folder)] == [{"body": "one"}]
    add(bus, "q")
    send(folder, "q", "bad")
    with ServiceBusClient.from_connection_string(bus.connection_string) as client:
        receiver = client.get_queue_receiver("q")
        (message,) = receiver.receive_messages(1, max_wait_time=10)
        receiver.dead_letter_message(message, reason="why")
    folder.path.joinpath("dstream.hcl").write_text(
        TASK.format(input='queue = "q"\n dead_letters = true')
        .replace('"copy"', '"letters"')
        .replace("out.jsonl", "dead.jsonl")
    )
    folder.apply()
    ran = folder.dstream("run", "letters", "-until-idle")
    assert ran.code == 0, ran.said
    (dead,) = [json.loads(line) for line in (folder.path / "dead.jsonl").read_text().splitlines()]
    assert dead["metadata"]["Properties"]["DeadLetterReason"] == "why"


@pytest.mark.parametrize("missing", ["detach", "cbs404"])
def test_a_queue_that_is_not_there_ends_the_run_with_its_name(folder: Folder, missing: Any) -> None:
    folder.bus.broker.missing = missing
    write(folder, 'queue = "nowhere"\n max_wait = 0.5\n')
    ran = folder.dstream("run", "copy", "-until-idle")
    assert ran.code == 1 and "nowhere" in ran.said, ran.said
