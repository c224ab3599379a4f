"""The stand-in's management and data planes, driven by the real client libraries."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode, ServiceBusSubQueue
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusError
from azure.servicebus.management import ServiceBusAdministrationClient

from tests.events import until
from tests.services.azure.running import ServiceBus, service_bus


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceBus]:
    with service_bus() as bus:
        yield bus


@pytest.fixture
def bus(running: ServiceBus) -> Iterator[ServiceBus]:
    yield running
    running.namespace.entities.clear()
    running.broker.faults.clear()
    running.broker.missing = "detach"


@pytest.fixture
def admin(bus: ServiceBus) -> ServiceBusAdministrationClient:
    return ServiceBusAdministrationClient.from_connection_string(
        bus.connection_string, connection_verify=str(bus.certificate)
    )


@pytest.fixture
def client(bus: ServiceBus) -> Iterator[ServiceBusClient]:
    with ServiceBusClient.from_connection_string(bus.connection_string, retry_total=0) as made:
        yield made


def add(bus: ServiceBus, name: str = "q", **properties: Any) -> None:
    bus.model.put(bus.namespace, "queue", name, properties)


def test_entities_are_created_read_changed_listed_and_deleted(bus: ServiceBus, admin: Any) -> None:
    made = admin.create_queue("Orders_cdc_events", user_metadata="<mine>", max_delivery_count=3)
    assert (made.user_metadata, made.max_delivery_count, made.requires_session) == ("<mine>", 3, False)
    with pytest.raises(ResourceExistsError):
        admin.create_queue("Orders_cdc_events")
    made.max_delivery_count = 7
    with pytest.raises(HttpResponseError, match="40000"):
        admin.update_queue(made)  # with the size of messages, which only tier Premium takes
    made.max_message_size_in_kilobytes = None
    admin.update_queue(made)
    assert admin.get_queue("orders_cdc_events").max_delivery_count == 7
    for number in range(105):
        add(bus, f"q{number:03}")
    assert len(list(admin.list_queues())) == 106
    admin.delete_queue("Orders_cdc_events")
    with pytest.raises(ResourceNotFoundError):
        admin.delete_queue("Orders_cdc_events")
    with pytest.raises(ResourceNotFoundError):
        admin.get_queue("Orders_cdc_events")


def test_both_management_planes_show_the_same_queue(bus: ServiceBus, admin: Any) -> None:
    admin.create_queue("q", lock_duration="PT30S", requires_duplicate_detection=True)
    properties = bus.model.get(bus.namespace, "queue", "q").properties
    assert (properties["lockDuration"], properties["requiresDuplicateDetection"]) == ("PT30S", True)


def test_a_key_opens_what_its_rule_allows(bus: ServiceBus) -> None:
    add(bus)
    bus.model.put_rule(bus.namespace, "sender", ("Send",))
    verify = {"connection_verify": str(bus.certificate)}
    sending = bus.server.connection_string("sender")
    with pytest.raises(ClientAuthenticationError):
        ServiceBusAdministrationClient.from_connection_string(sending, **verify).get_queue("q")
    with ServiceBusClient.from_connection_string(sending, retry_total=0) as client:
        client.get_queue_sender("q").send_messages(ServiceBusMessage("a"), timeout=20)
        with pytest.raises(ServiceBusError, match="Listen"):
            client.get_queue_receiver("q").receive_messages(max_wait_time=1)
    wrong = bus.connection_string.replace("SharedAccessKey=", "SharedAccessKey=x")
    with ServiceBusClient.from_connection_string(wrong, retry_total=0) as client, pytest.raises(ServiceBusError):
        client.get_queue_sender("q").send_messages(ServiceBusMessage("a"), timeout=20)


def test_a_token_of_entra_id_is_taken_over_tls_and_another_is_not(bus: ServiceBus) -> None:
    where = f"{bus.entra.managed['IDENTITY_ENDPOINT']}?resource=https://servicebus.azure.net/"
    asked = urllib.request.Request(where, headers={"X-IDENTITY-HEADER": bus.entra.header})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        tokens = ["aa.bb.cc", json.loads(answer.read())["access_token"]]

    class Credential:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            return AccessToken(tokens.pop(), int(time.time()) + 3600)

    add(bus)
    where = f"127.0.0.1:{bus.server.port}"
    verify = {"connection_verify": str(bus.certificate)}
    assert ServiceBusAdministrationClient(where, Credential(), **verify).get_queue("q").name == "q"
    with pytest.raises(ClientAuthenticationError):
        ServiceBusAdministrationClient(where, Credential(), **verify).get_queue("q")


def test_batches_keep_their_order_and_all_properties(bus: ServiceBus, client: Any) -> None:
    add(bus)
    with client.get_queue_sender("q") as sender:
        batch = sender.create_message_batch()
        for number in range(50):
            properties = {"n": number, "far": 2**30, "yes": True, "text": "é"}
            message = ServiceBusMessage(b"x" * 2000, message_id=str(number), subject="s")
            message.application_properties = properties
            batch.add_message(message)
        sender.send_messages(batch, timeout=20)
    stored = bus.store("q").everything()
    assert [each.message_id for each in stored] == [str(number) for number in range(50)]
    assert stored[3].application_properties == {"n": 3, "far": 2**30, "yes": True, "text": "é"}
    assert (len(stored[3].body), stored[3].subject) == (2000, "s")
    with client.get_queue_receiver("q", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        got: list[Any] = []
        while len(got) < 50:
            got += receiver.receive_messages(50, max_wait_time=10)
    assert [each.message_id for each in got] == [str(number) for number in range(50)]
    assert got[3].application_properties[b"text"] == "é".encode()


def test_locked_messages_are_completed_abandoned_deferred_and_dead_lettered(bus: ServiceBus, client: Any) -> None:
    add(bus)
    with client.get_queue_sender("q") as sender:
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(4)], timeout=20)
    with client.get_queue_receiver("q") as receiver:
        got: list[Any] = []
        while len(got) < 4:
            got += receiver.receive_messages(4, max_wait_time=10)
        receiver.complete_message(got[0])
        receiver.abandon_message(got[1])
        receiver.defer_message(got[2])
        receiver.dead_letter_message(got[3], reason="bad", error_description="very")
        again = receiver.receive_messages(1, max_wait_time=10)
        assert [(str(each), each.delivery_count) for each in again] == [("1", 1)]
        receiver.renew_message_lock(again[0])
        assert [str(each) for each in receiver.peek_messages(10, sequence_number=1)] == ["1", "2"]
    with client.get_queue_receiver("q", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        (dead,) = receiver.receive_messages(1, max_wait_time=10)
        assert (str(dead), dead.dead_letter_reason) == ("3", "bad")


def test_a_lock_that_is_not_kept_gives_the_message_back(bus: ServiceBus, client: Any) -> None:
    add(bus, lockDuration="PT0.2S", maxDeliveryCount=2)
    with client.get_queue_sender("q") as sender:
        sender.send_messages(ServiceBusMessage("a"), timeout=20)
    with client.get_queue_receiver("q") as receiver:
        (first,) = receiver.receive_messages(1, max_wait_time=10)
        (second,) = receiver.receive_messages(1, max_wait_time=10)
        with pytest.raises(ServiceBusError):
            receiver.complete_message(first)
        assert second.delivery_count == 1
    until(lambda: len(bus.store("q").dead) == 1, "the dead letter")


def test_sessions_are_held_by_one_receiver(bus: ServiceBus, client: Any) -> None:
    add(bus, requiresSession=True)
    with client.get_queue_sender("q") as sender:
        sender.send_messages(ServiceBusMessage("a", session_id="s1"), timeout=20)
        sender.send_messages(ServiceBusMessage("b", session_id="s2"), timeout=20)
        with pytest.raises(ServiceBusError, match="SessionId"):
            sender.send_messages(ServiceBusMessage("c"), timeout=20)
        both = [ServiceBusMessage("d", session_id=each) for each in ("s1", "s2")]
        with pytest.raises(ServiceBusError, match="distinct SessionId"):
            sender.send_messages(both, timeout=20)
    with client.get_queue_receiver("q", session_id="s2") as receiver:
        assert [str(each) for each in receiver.receive_messages(2, max_wait_time=1)] == ["b"]
        with pytest.raises(ServiceBusError):
            client.get_queue_receiver("q", session_id="s2").receive_messages(1, max_wait_time=1)


def test_duplicates_are_dropped_and_topics_copy_to_their_subscriptions(bus: ServiceBus, client: Any) -> None:
    bus.model.put(bus.namespace, "topic", "t", {})
    bus.model.put(bus.namespace, "subscription", "t/Subscriptions/a", {})
    bus.model.put(bus.namespace, "subscription", "t/Subscriptions/b", {})
    with client.get_topic_sender("t") as sender:
        sender.send_messages(ServiceBusMessage("x"), timeout=20)
    with client.get_subscription_receiver("t", "b") as receiver:
        assert [str(each) for each in receiver.receive_messages(1, max_wait_time=10)] == ["x"]
    assert len(bus.store("t/Subscriptions/a").ready) == 1
    add(bus, "d", requiresDuplicateDetection=True)
    with client.get_queue_sender("d") as sender:
        for name in ("1", "2", "1"):
            sender.send_messages(ServiceBusMessage("x", message_id=name), timeout=20)
    assert [each.message_id for each in bus.store("d").history] == ["1", "2"]
    assert bus.store("d").duplicates == 1


@pytest.mark.parametrize("missing", ["detach", "reject", "cbs404"])
def test_an_entity_that_is_not_there_shows_in_three_ways(bus: ServiceBus, client: Any, missing: Any) -> None:
    bus.broker.missing = missing
    with pytest.raises(ServiceBusError):
        client.get_queue_sender("nowhere").send_messages(ServiceBusMessage("x"), timeout=20)


def test_faults_refuse_before_and_after_storing_and_break_connections(bus: ServiceBus, client: Any) -> None:
    add(bus)
    with client.get_queue_sender("q") as sender:
        bus.broker.fault("q", condition="com.microsoft:server-busy")
        with pytest.raises(ServiceBusError):
            sender.send_messages(ServiceBusMessage("before"), timeout=20)
        assert bus.store("q").history == []
        bus.broker.fault("q", condition="com.microsoft:server-busy", stored=True)
        with pytest.raises(ServiceBusError):
            sender.send_messages(ServiceBusMessage("after"), timeout=20)
        bus.broker.fault("q", drop=True, stored=True)
        with pytest.raises(ServiceBusError):
            sender.send_messages(ServiceBusMessage("dropped"), timeout=20)
    assert [each.body for each in bus.store("q").history] == [b"after", b"dropped"]


def test_too_large_a_message_is_refused(bus: ServiceBus, client: Any) -> None:
    add(bus)
    with client.get_queue_sender("q") as sender, pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage(b"x" * 300_000), timeout=20)
