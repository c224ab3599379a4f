"""A connection string that leads to another namespace: a clear refusal, never a silent loss; and the way to move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.recorded_in import change
from tests.services.azure.running import ServiceBus, service_bus

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

QUEUES = ["Orders_cdc_events", "Persons_cdc_events"]


@pytest.fixture
def other(folder: Folder) -> Iterator[ServiceBus]:
    """Another namespace, to which the configuration leads after something was sent to the first."""
    folder.write()
    folder.apply()
    folder.record(change("Orders", 1, n=1))
    folder.run()
    with service_bus("other-bus") as bus:
        both = folder.path / "authorities.pem"
        both.write_bytes(folder.bus.certificate.read_bytes() + bus.certificate.read_bytes())
        folder.environment |= {"SSL_CERT_FILE": str(both), "REQUESTS_CA_BUNDLE": str(both)}
        folder.environment["ASB_CONNECTION"] = bus.connection_string
        yield bus


def test_every_command_refuses_and_both_namespaces_stay_as_they_are(folder: Folder, other: ServiceBus) -> None:
    freely = ("-auto-approve", "-allow-data-loss")
    for command in (["plan"], ["apply", *freely], ["destroy", *freely], ["drift"]):
        ended = folder.dstream(*command)
        assert ended.code == 1, ended.said
        told = " ".join(ended.said.replace("│", " ").split())
        assert "Another namespace" in told and "dstream state rm" in told
        assert f"127.0.0.1:{folder.bus.server.port}" in told and f"127.0.0.1:{other.server.port}" in told
    ran = folder.dstream("run", "copy", "-until-idle")
    assert ran.code == 1 and "Task changed since apply" in ran.said
    forced = folder.dstream("run", "copy", "-until-idle", "-unapplied")
    assert forced.code == 1 and "do not exist" in forced.said
    assert (folder.bus.queues, other.queues) == (QUEUES, [])
    assert [each["data"]["n"] for each in folder.bodies("Orders_cdc_events")] == [1]


def test_a_task_moves_with_its_checkpoint_when_its_old_queues_are_let_go(folder: Folder, other: ServiceBus) -> None:
    for queue in QUEUES:
        gone = folder.dstream("state", "rm", f'task.copy.output.asb_queue["{queue}"]')
        assert gone.code == 0, gone.said
    folder.apply()
    folder.record(change("Orders", 2, n=2))
    folder.run()
    assert other.queues == QUEUES == folder.bus.queues
    assert [each.json()["data"]["n"] for each in other.store("Orders_cdc_events").history] == [2]
    assert [each["data"]["n"] for each in folder.bodies("Orders_cdc_events")] == [1], "it stays where it was"
    ended = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert ended.code == 0, ended.said
    assert (folder.bus.queues, other.queues) == (QUEUES, [])


def test_another_key_of_the_same_namespace_changes_nothing(folder: Folder) -> None:
    folder.write()
    folder.apply()
    folder.bus.model.put_rule(folder.bus.namespace, "second", ("Manage", "Send", "Listen"))
    folder.environment["ASB_CONNECTION"] = folder.bus.server.connection_string("second")
    planned = folder.dstream("plan")
    assert planned.code == 0 and "0 to add" in planned.out and "0 to destroy" in planned.out, planned.said
    folder.apply()
    assert folder.bus.queues == QUEUES
