"""The rules of the protocol, by the conformance kit, with the stand-in behind."""

from __future__ import annotations

import json
import threading

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.harness import add
from tests.e2e.commands import PROGRAMS

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy


def held_against_the_rules(folder: Folder, program: str, **config: object) -> str:
    given = json.dumps({"connection_string": folder.bus.connection_string, **config})
    ended = folder.dstream("providers", "test", str(PROGRAMS / program), "-provider-config", given)
    assert ended.code == 0, ended.said
    return ended.out


def test_the_output_keeps_the_rules(folder: Folder) -> None:
    add(folder.bus, "everything")
    said = held_against_the_rules(folder, "dstream-out-asb", queue_name="everything")
    assert "passed   R34" in said and "0 failed" in said


def test_the_output_that_creates_keeps_the_rules(folder: Folder) -> None:
    add(folder.bus, "conformance_cdc_events")  # a version 1 host has nobody who would make it
    said = held_against_the_rules(folder, "dstream-out-asb", on_unknown_table="create", tables=["conformance"])
    assert "passed   R38" in said and "0 failed" in said
    assert folder.bus.queues == ["conformance_cdc_events"]


def test_the_input_keeps_the_rules(folder: Folder) -> None:
    # The kit leaves messages uncommitted: locks end while it waits, and the reader may hold more than it has left.
    add(folder.bus, "q", maxDeliveryCount=2000, lockDuration="PT5S")
    done = threading.Event()

    def feed() -> None:
        with ServiceBusClient.from_connection_string(folder.bus.connection_string) as client:
            sender = client.get_queue_sender("q")
            while not done.wait(0.2):
                sender.send_messages([ServiceBusMessage(json.dumps({"n": n})) for n in range(5)], timeout=60)

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        said = held_against_the_rules(folder, "dstream-in-asb", queue="q", prefetch=999, idle_seconds=0.5, max_wait=0.2)
    finally:
        done.set()
        feeding.join()
    assert "passed   R29" in said and "0 failed" in said
