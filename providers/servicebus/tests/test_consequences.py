"""What a plan reports of a namespace: how full it is, what a destruction loses, and what apply or run would fail on."""

from __future__ import annotations

from typing import Any

import pytest

from dstream_sdk import Finding, Object, PlanContext, ProviderError, ResourceContext, Stream, decode
from dstream_servicebus.input import ServiceBusInput
from dstream_servicebus.output import ServiceBusOutput
from dstream_servicebus.resources.queue import Queue
from dstream_servicebus.resources.subscription import Subscription
from dstream_servicebus.resources.topic import Topic
from dstream_servicebus.settings import Connection, InputSettings, OutputSettings
from providers.servicebus.tests.harness import add, sending
from providers.servicebus.tests.test_strictness import change
from tests.services.azure.running import ServiceBus

pytestmark = pytest.mark.usefixtures("trust")
QUEUE = "Orders_cdc_events"


def string_of(bus: ServiceBus, rule: str) -> str:
    """The connection string of a rule, for the host at which the stand-in listens."""
    host = bus.connection_string.partition("sb://")[2].partition("/")[0]
    given = bus.namespace.connection_string(rule)
    return given.replace(given.partition("sb://")[2].partition("/")[0], host)


def assessed(bus: ServiceBus, rule: str = "RootManageSharedAccessKey", **settings: Any) -> list[Any]:
    """What the output reports for a task whose input delivers Orders."""
    given = {"connection_string": string_of(bus, rule), **settings}
    context = PlanContext("copy", (Stream("Orders", ("id",)),), assessed=True)
    return list(ServiceBusOutput().consequences(decode(OutputSettings, given), context))


def context_of(bus: ServiceBus) -> ResourceContext[Connection]:
    return ResourceContext(Connection(connection_string=bus.connection_string), {}, print)


def test_an_entity_holds_its_messages_and_what_does_not_exist_holds_nothing(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.model.put(bus.namespace, "topic", "news", {})
    bus.model.put(bus.namespace, "subscription", "news/Subscriptions/all", {})
    with sending(bus) as output:
        output.send(change(0), change(1), change(2))
    context = context_of(bus)
    held = Queue().contents(context, Object({"name": QUEUE}, {}))
    assert held is not None
    assert held["messages"] == 3
    assert held["bytes"] > 0
    assert Subscription().contents(context, Object({"topic": "news", "name": "all"}, {})) == {"messages": 0}
    assert Topic().contents(context, Object({"name": "news"}, {})) == {"bytes": 0}
    for kind, identity in ((Queue(), {"name": "x"}), (Subscription(), {"topic": "news", "name": "x"})):
        assert kind.contents(context, Object(identity, {})) is None


def test_a_queue_that_is_nearly_full_is_reported(bus: ServiceBus, monkeypatch: pytest.MonkeyPatch) -> None:
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send(change(0), change(1), change(2))
    assert assessed(bus) == []
    monkeypatch.setattr(type(bus.store(QUEUE)), "size", 1024 * 1024 * 1024 * 85 // 100)
    (found,) = assessed(bus)
    assert (found.kind, found.label, found.messages) == ("capacity", "non-breaking", 3)
    assert found.summary == f"the queue {QUEUE} is 85% full"
    monkeypatch.setattr(type(bus.store(QUEUE)), "size", 1024 * 1024 * 1024)
    assert assessed(bus)[0].label == "breaking"


def test_queues_that_are_missing_and_may_not_be_created_are_named(bus: ServiceBus) -> None:
    (found,) = assessed(bus, manage=False)
    assert (found.summary, found.certain) == ("Queues are missing", True)
    assert f"az servicebus queue create --name {QUEUE} --namespace-name" in found.fix
    with pytest.raises(ProviderError), sending(bus, manage=False):
        pass
    add(bus, QUEUE)
    assert assessed(bus, manage=False) == []


def test_an_input_reports_what_waits_and_what_it_could_not_receive(bus: ServiceBus) -> None:
    def reported(**settings: Any) -> list[Any]:
        given = {"connection_string": bus.connection_string, **settings}
        config = decode(InputSettings, given)
        return list(ServiceBusInput().consequences(config, PlanContext("copy", assessed=True)))

    (found,) = reported(queue=QUEUE)
    assert (found.summary, found.certain) == ("Queue not found", False)
    add(bus, QUEUE, defaultMessageTimeToLive="PT2H")
    with sending(bus) as output:
        output.send(change(0), change(1))
    waiting, kept = reported(queue=QUEUE)
    assert (waiting.kind, waiting.messages, kept.kind, kept.hours) == ("resume", 2, "retention", 2)
    assert reported(queue=QUEUE, sessions=True)[0].fix == "sessions = false"
    bus.model.put(bus.namespace, "topic", "news", {})
    bus.model.put(bus.namespace, "subscription", "news/Subscriptions/all", {"requiresSession": True})
    needs, waiting = reported(topic="news", subscription="all")
    assert (needs.certain, needs.fix, waiting.messages) == (True, "sessions = true", 0)
    bus.model.put_rule(bus.namespace, "reader", ("Listen",))
    assert reported(queue=QUEUE, connection_string=string_of(bus, "reader")) == []


def test_a_key_that_may_only_send_cannot_manage(bus: ServiceBus) -> None:
    bus.model.put_rule(bus.namespace, "sender", ("Send",))
    (found,) = assessed(bus, "sender")
    assert (found.summary, found.certain) == ("Right to manage entities missing", True)
    context = ResourceContext(Connection(connection_string=string_of(bus, "sender")), {}, print)
    with pytest.raises(ProviderError):
        Queue().create(context, {"name": QUEUE, "namespace": ""}, None)
    assert assessed(bus, "sender", manage=False) == []  # sending is all that it does then


def test_what_tier_basic_does_not_have_is_refused_by_the_service_too(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(bus.namespace), "tier", "Basic")
    found = assessed(bus, ordering="session")
    assert [each.path for each in found if isinstance(each, Finding)] == [
        "config.ordering",
        "config.duplicate_detection",
    ]
    for attributes in ({"requires_session": True}, {"requires_duplicate_detection": True}):
        with pytest.raises(ProviderError, match="Basic"):
            Queue().create(context_of(bus), {"name": QUEUE, "namespace": "", **attributes}, None)
    assert assessed(bus, duplicate_detection=False) == []
    (topics,) = assessed(bus, entity="topic", subscriptions=["all"])
    assert (topics.path, topics.summary) == ("config.entity", "Not in tier Basic")
