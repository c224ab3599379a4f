"""From plan to destroy, typed as a user would: the queues that exist are those in the state."""

from __future__ import annotations

import json
import os
import signal

import pytest

from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.recorded_in import change
from tests.events import PATIENCE, until

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy


def queues_in_state(folder: Folder) -> list[str]:
    listed = folder.dstream("state", "list")
    assert listed.code == 0, listed.said
    return sorted(line.partition('["')[2].removesuffix('"]') for line in listed.out.splitlines() if "asb_queue" in line)


def test_queues_follow_the_tables_of_the_input_and_their_changes_arrive(folder: Folder) -> None:
    folder.write()
    planned = folder.dstream("plan")
    assert planned.code == 0, planned.said
    assert 'task.copy.output.asb_queue["Persons_cdc_events"]' in planned.out
    folder.apply()
    assert folder.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"] == queues_in_state(folder)
    assert folder.dstream("plan", "-detailed-exitcode").code == 0
    folder.record(
        change("Persons", 1, "Insert", name="Ann"), change("Orders", 2, "Delete"), change("Persons", 3, key=1)
    )
    folder.run()
    assert [each["metadata"]["OperationType"] for each in folder.bodies("Persons_cdc_events")] == ["Insert", "Update"]
    (message,) = folder.bus.store("Orders_cdc_events").history
    assert message.application_properties == {
        "TableName": "Orders",
        "OperationType": "Delete",
        "Key": '{"id":2}',
        "Position": "000000000002",
    }
    assert (message.content_type, message.subject) == ("application/json", "Delete")
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert folder.bus.queues == []


def test_init_is_apply_for_one_task(folder: Folder) -> None:
    folder.write()
    ended = folder.dstream("init", "copy", "-auto-approve")
    assert ended.code == 0, ended.said
    assert folder.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"]


def test_one_table_more_is_one_queue_more(folder: Folder) -> None:
    folder.write()
    folder.apply()
    folder.tables.append("Customers")
    folder.write()
    planned = folder.dstream("plan").out
    assert 'task.copy.output.asb_queue["Customers_cdc_events"]' in planned
    assert "1 to add, 0 to change, 0 to destroy" in planned
    folder.apply()
    assert len(folder.bus.queues) == 3


def test_a_queue_that_somebody_deletes_is_drift_and_comes_back(folder: Folder) -> None:
    folder.write()
    folder.apply()
    folder.bus.model.delete(folder.bus.namespace, "queue", "Orders_cdc_events")
    drift = folder.dstream("drift")
    assert drift.code == 2 and "Orders_cdc_events" in drift.out, drift.said
    folder.apply()
    assert folder.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"]


def test_changed_settings_change_the_queue_in_place_and_others_stay(folder: Folder) -> None:
    folder.write()
    folder.apply()
    queue = folder.bus.model.get(folder.bus.namespace, "queue", "Orders_cdc_events")
    assert queue is not None
    queue.properties["enableBatchedOperations"] = False
    folder.write('lock_duration = "PT2M"')
    planned = folder.dstream("plan")
    assert '"1m"' in planned.out and '"2m"' in planned.out, planned.said
    folder.apply()
    assert (queue.properties["lockDuration"], queue.properties["enableBatchedOperations"]) == ("PT2M", False)
    folder.write('lock_duration = "120s"')
    assert "0 to add, 0 to change, 0 to destroy" in folder.dstream("plan").out


def test_what_cannot_change_replaces_the_queue_and_counts_as_loss_of_data(folder: Folder) -> None:
    folder.write()
    folder.apply()
    folder.write('ordering = "session"')
    refused = folder.dstream("apply", "-auto-approve")
    assert refused.code == 1 and "allow-data-loss" in refused.said
    folder.apply("-allow-data-loss")
    queue = folder.bus.model.get(folder.bus.namespace, "queue", "Orders_cdc_events")
    assert queue is not None and queue.properties["requiresSession"] is True


def test_a_queue_of_somebody_else_is_not_taken_and_not_deleted(folder: Folder) -> None:
    folder.bus.model.put(folder.bus.namespace, "queue", "orders_cdc_events", {"userMetadata": "theirs"})
    folder.write()
    refused = folder.dstream("apply", "-auto-approve")
    assert refused.code == 1 and "import" in refused.said, refused.said
    folder.bus.model.delete(folder.bus.namespace, "queue", "orders_cdc_events")
    folder.apply()
    folder.bus.model.delete(folder.bus.namespace, "queue", "Orders_cdc_events")
    folder.bus.model.put(folder.bus.namespace, "queue", "Orders_cdc_events", {"userMetadata": "theirs"})
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 1 and "deleted and created again" in gone.said, gone.said
    assert folder.bus.queues == ["Orders_cdc_events"]


def test_queues_topics_and_subscriptions_are_resources_too(folder: Folder) -> None:
    folder.path.joinpath("dstream.hcl").write_text(
        """
provider "asb" {
  config { connection_string = env("ASB_CONNECTION") }
}
resource "asb_queue" "orders" {
  name               = "orders"
  max_delivery_count = 3
}
resource "asb_topic" "news" {
  name = "news"
}
resource "asb_subscription" "mail" {
  topic = asb_topic.news.name
  name  = "mail"
}
"""
    )
    folder.apply()
    found = sorted(path for path, _ in folder.bus.model.walk(folder.bus.namespace))
    assert found == ["news", "news/Subscriptions/mail", "orders"]
    assert folder.dstream("plan", "-detailed-exitcode").code == 0
    forgotten = folder.dstream("state", "rm", "asb_queue.orders")
    assert forgotten.code == 0, forgotten.said
    identity = json.dumps({"namespace": f"127.0.0.1:{folder.bus.server.port}", "name": "orders"})
    imported = folder.dstream("import", "asb_queue.orders", identity)
    assert imported.code == 0, imported.said
    assert folder.dstream("plan", "-detailed-exitcode").code == 0
    assert folder.dstream("destroy", "-auto-approve", "-allow-data-loss").code == 0
    assert list(folder.bus.model.walk(folder.bus.namespace)) == []


def test_a_table_that_appears_at_run_time_gets_a_queue_that_plan_and_destroy_know(folder: Folder) -> None:
    folder.write('on_unknown_table = "create"')
    folder.apply()
    folder.record(*(change("Persons" if n % 3 else "sales.Returns", n, n=n) for n in range(60)))
    ran = folder.run()
    assert "new table sales.Returns" in ran.said and "Returns_cdc_events" in ran.said
    expected = ["Orders_cdc_events", "Persons_cdc_events", "Returns_cdc_events"]
    assert folder.bus.queues == expected == queues_in_state(folder)
    arrived = {each["data"]["n"] for name in expected for each in folder.bodies(name)}
    assert arrived == set(range(60))
    again = folder.dstream("plan", "-detailed-exitcode")
    assert again.code == 0, again.said
    folder.tables.append("Customers")
    folder.write('on_unknown_table = "create"')
    folder.apply()
    assert folder.bus.queues == ["Customers_cdc_events", *expected], "another apply keeps it"
    folder.record(change("sales.Returns", 99, n=99))
    folder.run()
    assert folder.bodies("Returns_cdc_events")[-1]["data"]["n"] == 99
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert folder.bus.queues == [] == queues_in_state(folder)


@pytest.mark.parametrize("what", ["queue", "right"])
def test_what_a_restart_would_not_mend_ends_a_run_at_once(folder: Folder, what: str) -> None:
    folder.write(input="follow = true")
    folder.apply()
    folder.record(change("Orders", 1, n=1))
    keys = dict(folder.bus.namespace.keys)
    running = folder.start("run", "copy")
    try:
        until(lambda: folder.bodies("Orders_cdc_events"), "the first message", process=running)
        if what == "queue":
            folder.bus.model.delete(folder.bus.namespace, "queue", "Orders_cdc_events")
        else:
            folder.bus.namespace.keys.clear()
            folder.bus.broker.fault("Orders_cdc_events", drop=True)  # on the next connection the key counts
        folder.record(change("Orders", 2, n=2))
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()
        folder.bus.namespace.keys.update(keys)
    said = out + err
    assert running.returncode == 1, said
    assert ("Queue not found" if what == "queue" else "Access denied") in said
    assert "blocked" not in said and "restarting" not in said, said


def test_a_new_table_waits_where_more_than_its_queue_would_change(folder: Folder) -> None:
    folder.write('on_unknown_table = "create"')
    folder.apply()
    folder.bus.model.get(folder.bus.namespace, "queue", "Orders_cdc_events").properties["maxDeliveryCount"] = 3
    folder.record(change("Returns", 1, n=1))
    ran = folder.dstream("run", "copy", "-until-idle")
    assert ran.code == 1 and "Pending new table" in ran.said, ran.said
    assert folder.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"]


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_run_that_is_killed_while_it_makes_a_queue_leaves_nothing_that_plan_does_not_know(
    folder: Folder, point: str
) -> None:
    folder.write('on_unknown_table = "create"')
    folder.apply()
    folder.record(*(change("Returns", n, n=n) for n in range(5)))
    folder.bus.server.fault(
        "PUT /Returns_cdc_events", status=503 if point == "before" else 0, lost=point == "after", times=99
    )
    runner = folder.start("run", "copy", "-until-idle")
    until(lambda: folder.bus.server.requests("PUT", "Returns"), "the request for the queue", process=runner)
    os.killpg(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=PATIENCE)
    folder.bus.server.faults.clear()
    planned = folder.dstream("plan").said
    assert "to destroy" not in planned or "0 to destroy" in planned, planned
    folder.run()
    folder.apply()
    assert (
        folder.bus.queues
        == ["Orders_cdc_events", "Persons_cdc_events", "Returns_cdc_events"]
        == queues_in_state(folder)
    )
    assert {each["data"]["n"] for each in folder.bodies("Returns_cdc_events")} == set(range(5))
