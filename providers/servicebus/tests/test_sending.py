"""What arrives in the queues: everything, in order, with an identity; and what becomes of what cannot be sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.parse
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from dstream_sdk import ConflictError, DeniedError, ProviderError, RetriableError
from providers.servicebus.tests.harness import add, sending
from providers.servicebus.tests.recorded_in import change
from tests.services.azure.running import ServiceBus

MYSQL = Path(__file__).with_name("mysql.jsonl").read_text().splitlines()
QUEUE = "Orders_cdc_events"


pytestmark = pytest.mark.usefixtures("trust")


def numbers(bus: ServiceBus, queue: str = QUEUE) -> list[int]:
    return [each.json()["data"]["n"] for each in bus.store(queue).history]


def many(count: int, keys: int = 50) -> list[str]:
    return [change("Orders", n, key=n % keys, n=n) for n in range(count)]


def test_many_changes_arrive_in_order_in_few_batches(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    before = bus.broker.transfers
    with sending(bus) as output:
        output.send(*many(3000))
    assert numbers(bus) == list(range(3000))
    assert bus.broker.transfers - before < 15


@pytest.mark.parametrize(("ordering", "keys"), [("session", 8), ("partition", 8), ("session", 0)])
def test_sessions_and_partitions_keep_the_order_of_each_row(bus: ServiceBus, ordering: str, keys: int) -> None:
    add(bus, QUEUE, requiresSession=ordering == "session", enablePartitioning=ordering == "partition")
    with sending(bus, ordering=ordering, ordering_keys=keys) as output:
        output.send(*many(400, keys=20))
    stored = bus.store(QUEUE).history
    rows: dict[int, list[int]] = defaultdict(list)
    lanes: dict[int, set[Any]] = defaultdict(set)
    for each in stored:
        rows[each.json()["data"]["id"]].append(each.json()["data"]["n"])
        lanes[each.json()["data"]["id"]].add(each.session_id if ordering == "session" else each.partition_key)
    assert sorted(n for found in rows.values() for n in found) == list(range(400))
    assert all(found == sorted(found) for found in rows.values())
    assert all(len(found) == 1 and None not in found for found in lanes.values())
    distinct = set().union(*lanes.values())
    assert len(distinct) == (20 if keys == 0 else min(len(distinct), 8))


def test_full_batches_are_taken_whole_however_their_sizes_add_up(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    before = bus.broker.transfers
    with sending(bus) as output:
        for size in range(190, 210):
            output.send(*(change("Orders", n, key=n % 50, n=n, text="x" * size) for n in range(1000)))
    assert len(bus.store(QUEUE).history) == 20_000
    assert bus.broker.transfers - before <= 20 * 4
    assert output.reasons == []


def test_a_throttled_sender_waits_and_goes_on(bus: ServiceBus, capfd: pytest.CaptureFixture[str]) -> None:
    add(bus, QUEUE)
    bus.broker.fault(QUEUE, condition="com.microsoft:server-busy", times=3)
    with sending(bus) as output:
        output.send(*many(10))
    assert numbers(bus) == list(range(10))
    assert "waiting" in capfd.readouterr().err


@pytest.mark.parametrize("fault", [{"drop": True}, {"condition": "amqp:internal-error"}, {"silent": True}])
def test_repeats_after_a_lost_answer_are_dropped_by_their_message_id(bus: ServiceBus, fault: dict[str, Any]) -> None:
    add(bus, QUEUE, requiresDuplicateDetection=True)
    bus.broker.fault(QUEUE, stored=True, **fault)
    with sending(bus, send_timeout=8) as output:
        output.send(*many(10))
        output.send(*many(20)[10:])
    assert numbers(bus) == list(range(20))
    assert bus.store(QUEUE).duplicates == 10


def test_the_same_change_has_the_same_message_id_and_others_have_others(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    older = {"TableName": "Orders", "OperationType": "Update", "LSN": "0000004c000028200003", "Key": {"id": 1}}
    lines = [json.dumps({"data": {"n": 0}, "metadata": {**older, "Seq": seq}}) for seq in ("01", "02")]
    blind = [json.dumps({"data": {"n": 0}, "metadata": older})] * 2
    with sending(bus) as output:
        output.send(*lines, *blind)
    with sending(bus) as output:
        output.send(*lines)
    first, second, *unknown, again, again_second = [each.message_id for each in bus.store(QUEUE).history]
    assert (first, second) == (again, again_second)
    assert len({first, second, *unknown}) == 4, "a repeat cannot be told from a second change to the same values"


def test_what_is_too_large_goes_to_the_dead_letters_and_the_others_stay(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    lines = many(5)
    lines.insert(2, change("Orders", 99, n=99, text="x" * 300_000))
    with sending(bus) as output:
        output.send(*lines)
    assert numbers(bus) == list(range(5))
    assert [json.loads(line)["data"]["n"] for line, _ in output.session.rejected] == [99]
    assert "Orders_cdc_events" in output.reasons[0]


def test_what_is_no_envelope_goes_to_the_dead_letters(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send("[]", '{"data":1}', "nonsense", *many(1))
    assert (len(output.reasons), numbers(bus)) == (3, [0])


def test_a_message_that_the_service_refuses_does_not_take_its_batch_along(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.broker.fault(QUEUE, condition="amqp:not-allowed")  # the batch
    bus.broker.fault(QUEUE, condition="amqp:not-allowed")  # its first message alone
    with sending(bus) as output:
        output.send(*many(4))
    assert numbers(bus) == [1, 2, 3]
    assert [json.loads(line)["data"]["n"] for line, _ in output.session.rejected] == [0]


@pytest.mark.parametrize("missing", ["detach", "reject", "cbs404"])
@pytest.mark.parametrize("when", ["before", "later", "send right only"])
def test_a_missing_queue_is_told_however_the_service_reports_it(bus: ServiceBus, missing: Any, when: str) -> None:
    bus.broker.missing = missing
    more: dict[str, Any] = {"retry_timeout": 90}
    if when != "before":
        add(bus, QUEUE)
    if when == "send right only":
        bus.model.put_rule(bus.namespace, "sender", ("Send",))
        more = {"connection_string": bus.server.connection_string("sender"), "retry_timeout": 1}
    with pytest.raises(ProviderError) as told, sending(bus, **more) as output:
        output.send(*many(1))
        bus.model.delete(bus.namespace, "queue", QUEUE)
        output.send(*many(1))
    if when == "send right only" and missing != "reject":
        assert isinstance(told.value, RetriableError | DeniedError | ConflictError)
    else:
        assert told.value.summary == "Queue not found"
        assert "dstream apply" in told.value.detail


def test_a_key_with_the_right_send_is_enough(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.model.put_rule(bus.namespace, "sender", ("Send",))
    with sending(bus, connection_string=bus.server.connection_string("sender")) as output:
        output.send(*many(2))
    assert numbers(bus) == [0, 1]


def test_a_shared_access_signature_signs_in_on_both_planes(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    place, until = urllib.parse.quote_plus(f"sb://127.0.0.1:{bus.server.port}"), str(int(time.time()) + 600)
    key = bus.namespace.keys["RootManageSharedAccessKey"]
    digest = hmac.new(key.encode(), f"{place}\n{until}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote_plus(base64.b64encode(digest))
    token = f"SharedAccessSignature sr={place}&sig={signature}&se={until}&skn=RootManageSharedAccessKey"
    string = f"Endpoint=sb://127.0.0.1:{bus.server.port};SharedAccessSignature={token};UseDevelopmentEmulator=true"
    before = len(bus.server.requests("GET", QUEUE))
    with sending(bus, connection_string=string) as output:
        output.send(*many(2))
    assert numbers(bus) == [0, 1]
    assert len(bus.server.requests("GET", QUEUE)) == before + 1, "looked at before, over the management plane"


def test_a_wrong_key_and_one_that_may_not_send_are_told(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.model.put_rule(bus.namespace, "listener", ("Listen",))
    wrong = bus.connection_string.replace("SharedAccessKey=", "SharedAccessKey=x")
    with pytest.raises(DeniedError), sending(bus, connection_string=wrong, retry_timeout=90) as output:
        output.send(*many(1))
    listening = bus.server.connection_string("listener")
    refused = pytest.raises(ProviderError, match="the right Send")
    with refused, sending(bus, connection_string=listening, retry_timeout=1) as output:
        output.send(*many(1))
    assert bus.store(QUEUE).history == []


def test_a_full_queue_and_an_unreachable_service_may_pass(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.broker.fault(QUEUE, condition="amqp:resource-limit-exceeded", times=1000)
    with pytest.raises(RetriableError, match="full"), sending(bus, retry_timeout=1) as output:
        output.send(*many(1))
    gone = bus.connection_string.replace(str(bus.server.port), "1")
    with (
        pytest.raises(RetriableError, match="reached"),
        sending(bus, connection_string=gone, retry_timeout=1) as output,
    ):
        output.send(*many(1))


def test_a_disabled_queue_is_told(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.broker.fault(QUEUE, condition="com.microsoft:entity-disabled")
    with pytest.raises(ProviderError, match="disabled"), sending(bus) as output:
        output.send(*many(1))


def test_unknown_tables_fail_or_go_to_the_dead_letters_and_unwanted_ones_are_left_out(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    stranger = change("Strangers", 7, n=7)
    with pytest.raises(ProviderError, match="Unknown table"), sending(bus) as output:
        output.send(stranger)
    with sending(bus, on_unknown_table="reject") as output:
        output.send(*many(1), stranger)
    assert "Strangers" in output.reasons[0] and "Orders" in output.reasons[0]
    with sending(bus, ("Orders", "dbo.Secrets"), tables=["Ord*"]) as output:
        output.send(change("dbo.Secrets", 1, n=1), change("Orders", 8, n=8))
    assert (numbers(bus), output.reasons) == ([0, 8], [])


def test_changes_of_mysql_arrive_with_all_their_digits_and_metadata(bus: ServiceBus) -> None:
    add(bus, "customers_cdc_events", "orders_cdc_events", requiresDuplicateDetection=True)
    for _ in range(2):
        with sending(bus, ("inventory.customers", "inventory.orders")) as output:
            output.send(*MYSQL)
    customers = bus.store("customers_cdc_events").history
    assert [each.body.decode() for each in customers] == [MYSQL[0], MYSQL[3]]
    assert b"9007199254740993.01" in customers[1].body
    assert customers[1].application_properties["ServerId"] == 223344
    assert json.loads(customers[1].application_properties["Position"])["pos"] == 811
    operations = [each.subject for each in bus.store("orders_cdc_events").history]
    assert operations == ["Insert", "Insert", "Delete"], "two rows of one event, and the second reading dropped"
    assert bus.store("orders_cdc_events").duplicates == 3


def test_bodies_may_be_the_data_alone_or_cloud_events(bus: ServiceBus) -> None:
    add(bus, "customers_cdc_events")
    with sending(bus, ("inventory.customers",), format="data") as output:
        output.send(MYSQL[3])
    with sending(bus, ("inventory.customers",), format="cloudevents") as output:
        output.send(MYSQL[3])
    plain, event = bus.store("customers_cdc_events").history
    assert b"9007199254740993.01" in plain.body and b"9007199254740993.01" in event.body, "all digits"
    assert plain.json()["email"] == "sally@example.org"
    assert event.content_type == "application/cloudevents+json"
    found = event.json()
    assert (found["specversion"], found["type"], found["id"]) == ("1.0", "dstream.update", event.message_id)
    assert found["source"].endswith("/inventory.customers") and found["time"] == "2026-11-24T10:00:00Z"
    assert found["data"]["email"] == "sally@example.org"
    assert found["database"] == "inventory"


def test_topics_are_sent_to_as_well(bus: ServiceBus) -> None:
    bus.model.put(bus.namespace, "topic", QUEUE, {})
    bus.model.put(bus.namespace, "subscription", f"{QUEUE}/Subscriptions/all", {})
    with sending(bus, entity="topic", subscriptions=["all"]) as output:
        output.send(*many(3))
    assert numbers(bus, f"{QUEUE}/Subscriptions/all") == [0, 1, 2]


def test_senders_stay_open_between_flushes(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send(*many(1))
        opened = bus.broker.connections
        for n in range(1, 20):
            output.send(change("Orders", n, n=n))
        assert bus.broker.connections == opened
    assert numbers(bus) == list(range(20))
