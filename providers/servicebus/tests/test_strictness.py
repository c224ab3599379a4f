"""What the service refuses, limits and closes, as Microsoft documents it, and what the output makes of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.servicebus.management import CorrelationRuleFilter, SqlRuleFilter

from dstream_sdk import ConflictError, DeniedError, RetriableError, decode
from dstream_servicebus.clients import entities_client
from dstream_servicebus.reader import Reader
from dstream_servicebus.settings import Connection, InputSettings
from providers.servicebus.tests.conftest import RECORDED
from providers.servicebus.tests.harness import Emitted, add, sending
from tests.e2e.commands import Ended, dstream
from tests.events import until
from tests.services.azure.faults import DataFault, Throttle
from tests.services.azure.running import ServiceBus, service_bus
from tests.services.shebang import runs

pytestmark = [pytest.mark.usefixtures("trust"), pytest.mark.timeout(300)]

QUEUE = "Orders_cdc_events"


def change(n: int, **metadata: Any) -> str:
    return json.dumps(
        {"data": {"n": n}, "metadata": {"TableName": "Orders", "Key": {"id": n}, "Position": n, **metadata}}
    )


def numbers(bus: ServiceBus) -> list[int]:
    return [each.json()["data"]["n"] for each in bus.store(QUEUE).history]


def test_a_poison_message_is_a_dead_letter_and_the_others_arrive(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    heavy = {f"Note{n}": "x" * 4000 for n in range(20)}  # more than 64 KB of headers
    with sending(bus) as output:
        output.send(change(0), change(1, **heavy), change(2))
    assert numbers(bus) == [0, 2]
    assert [json.loads(line)["data"]["n"] for line, _ in output.session.rejected] == [1]
    assert "headers" in output.reasons[0]


@pytest.mark.parametrize("condition", ["com.microsoft:argument-error", "com.microsoft:argument-out-of-range"])
def test_an_argument_error_is_not_tried_again(bus: ServiceBus, condition: str) -> None:
    add(bus, QUEUE)
    for _ in range(2):  # the batch, and its first message alone
        bus.broker.fault(QUEUE, condition=condition)
    before = bus.broker.transfers
    with sending(bus) as output:
        output.send(change(0), change(1))
    assert numbers(bus) == [1]
    assert (len(output.reasons), bus.broker.transfers - before) == (1, 3)


def test_a_full_queue_is_waited_for_until_it_is_read(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    bus.broker.megabyte = 1  # 1024 bytes
    with sending(bus, retry_timeout=60) as output:
        output.send(change(0), change(1))
        with pytest.raises(RetriableError, match="full"), sending(bus, retry_timeout=1) as other:
            other.send(*[change(n) for n in range(2, 9)])
        assert numbers(bus) == [0, 1]
        bus.store(QUEUE).ready.clear()
        output.send(change(2))
    assert numbers(bus) == [0, 1, 2]


def test_a_queue_that_is_disabled_while_it_is_sent_to_ends_the_session(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    with pytest.raises(ConflictError, match="disabled"), sending(bus) as output:
        output.send(change(0))
        bus.model.put(bus.namespace, "queue", QUEUE, {"status": "SendDisabled"})
        output.send(change(1))
    assert numbers(bus) == [0]


@pytest.mark.parametrize("missing", ["detach", "reject", "cbs404"])
def test_a_queue_that_the_data_plane_does_not_know_yet_is_waited_for(bus: ServiceBus, missing: Any) -> None:
    bus.broker.missing, bus.broker.visible_after = missing, 1.0
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send(change(0))
    assert numbers(bus) == [0]


@pytest.mark.parametrize("seconds", [601, 3700], ids=["idle for ten minutes", "the token has expired"])
def test_a_link_that_the_service_has_closed_is_opened_again(bus: ServiceBus, seconds: int) -> None:
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send(change(0))
        closed = bus.broker.closed_links
        bus.broker.clock = lambda: time.time() + seconds
        until(lambda: bus.broker.closed_links > closed, "the service to close the link")
        bus.broker.clock = time.time
        output.send(change(1))
    assert numbers(bus) == [0, 1]


def test_a_sender_that_could_send_before_is_opened_again_when_it_is_refused_for_its_rights(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    with sending(bus) as output:
        output.send(change(0))
        fault = DataFault(QUEUE.lower(), condition="amqp:unauthorized-access")
        bus.broker.faults.append(fault)
        output.send(change(1))
        assert fault not in bus.broker.faults, "it was refused once"
        for _ in range(2):  # the sender that is open, and the one that takes its place
            bus.broker.faults.append(DataFault(QUEUE.lower(), condition="amqp:unauthorized-access"))
        with pytest.raises(DeniedError, match="Access denied"):
            output.send(change(2))
    assert numbers(bus) == [0, 1]


def test_the_pause_that_a_busy_service_asks_for_is_kept(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    throttle = bus.broker.throttles[QUEUE.lower()] = Throttle(1)
    with sending(bus) as output:  # its own pause is shorter
        output.send(change(0))
    assert (numbers(bus), throttle.early) == ([0], 0)


CONFIGURATION = """
task "copy" {{
  input {{
    provider_path = "./in.sh"
    config {{
      path   = "{folder}/changes.jsonl"
      tables = ["Orders"]
    }}
  }}
  output {{
    provider = "asb"
    config {{
      connection_string = env("ASB")
      ordering          = "{ordering}"
      lock_duration     = "{lock}"
    }}
  }}
}}
"""


class Premium:
    """A configuration for a namespace of tier Premium."""

    def __init__(self, folder: Path, bus: ServiceBus, ordering: str) -> None:
        self.folder, self.bus, self.ordering = folder, bus, ordering
        folder.joinpath("in.sh").write_text(runs(RECORDED))
        folder.joinpath("in.sh").chmod(0o755)
        folder.joinpath("changes.jsonl").write_text("")
        self.write()

    def write(self, lock: str = "1m") -> None:
        text = CONFIGURATION.format(folder=self.folder, ordering=self.ordering, lock=lock)
        self.folder.joinpath("dstream.hcl").write_text(text)

    def dstream(self, *arguments: str) -> Ended:
        env = {"ASB": self.bus.connection_string, **self.bus.environment}
        return dstream(self.folder, *arguments, env=env, timeout=90)

    def apply(self) -> None:
        ended = self.dstream("apply", "-auto-approve")
        assert ended.code == 0, ended.said

    @property
    def marker(self) -> str:
        return self.bus.namespace.entities[QUEUE.lower()].marker


@pytest.fixture(params=[(2, "session"), (2, "partition"), (1, "partition")], ids=str)
def premium(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Premium]:
    partitions, ordering = request.param
    with service_bus("premium-bus", tier="Premium", partitions=partitions) as bus:
        yield Premium(tmp_path, bus, ordering)


def test_a_premium_namespace_decides_on_partitions_and_its_queues_stay(premium: Premium) -> None:
    premium.apply()
    made = premium.marker
    planned = premium.dstream("plan", "-detailed-exitcode")
    assert planned.code == 0, planned.said
    premium.apply()
    premium.write(lock="2m")
    changed = premium.dstream("plan").out
    assert "0 to add, 1 to change, 0 to destroy" in changed, changed
    premium.apply()
    assert premium.marker == made
    assert premium.dstream("plan", "-detailed-exitcode").code == 0


def test_a_queue_of_another_tier_changes_without_the_size_that_only_premium_has(folder: Any) -> None:
    folder.write()
    folder.apply()
    folder.write('lock_duration = "2m"')
    folder.apply()
    assert folder.bus.namespace.entities[QUEUE.lower()].properties["lockDuration"] == "PT2M"


class Reading(Emitted):
    """A session that reads until it is stopped."""

    until_current = False
    stopping = False


def test_a_receiver_whose_token_has_expired_goes_on_with_another(bus: ServiceBus) -> None:
    add(bus, QUEUE)
    session = Reading()
    config = decode(InputSettings, {"connection_string": bus.connection_string, "queue": QUEUE, "max_wait": 0.2})
    reading = threading.Thread(target=Reader(config, session).run, daemon=True)  # type: ignore[arg-type]
    with sending(bus) as output:
        output.send(change(0))
        reading.start()
        until(lambda: len(session.lines) == 1, "the first message")
        closed = bus.broker.closed_links
        bus.broker.clock = lambda: time.time() + 3700
        until(lambda: bus.broker.closed_links > closed, "the service to close the link")
        bus.broker.clock = time.time
        output.send(change(1))
        until(lambda: any(b'"n":1' in line or b'"n": 1' in line for line in session.lines), "the second message")
    session.stopping = True
    reading.join(60)
    assert not reading.is_alive()


def test_a_subscription_with_rules_gets_what_they_take(bus: ServiceBus) -> None:
    with entities_client(decode(Connection, {"connection_string": bus.connection_string})) as admin:
        admin.create_topic(QUEUE)
        for name in ("all", "inserts", "late", "none"):
            admin.create_subscription(QUEUE, name)
        admin.create_rule(QUEUE, "inserts", "by-kind", filter=CorrelationRuleFilter(label="Insert"))
        expression = "OperationType IN ('Update', 'Delete') AND TableName LIKE 'Ord%' AND NOT (Position < 2)"
        admin.create_rule(QUEUE, "late", "by-place", filter=SqlRuleFilter(expression))
        for name in ("inserts", "late", "none"):
            admin.delete_rule(QUEUE, name, "$Default")
        assert [rule.name for rule in admin.list_rules(QUEUE, "late")] == ["by-place"]
        assert admin.get_rule(QUEUE, "late", "by-place").filter.sql_expression == expression  # type: ignore[attr-defined]
        with pytest.raises(HttpResponseError, match="is not valid"):
            admin.create_rule(QUEUE, "none", "odd", filter=SqlRuleFilter("Position ="))
    kinds = ["Insert", "Update", "Update", "Delete", "Insert"]
    with sending(bus, entity="topic", subscriptions=["all", "inserts", "late"]) as output:
        output.send(*[change(n, OperationType=kind) for n, kind in enumerate(kinds)])
    found = {
        name: [each.json()["data"]["n"] for each in bus.store(f"{QUEUE}/Subscriptions/{name}").history]
        for name in ("all", "inserts", "late", "none")
    }
    assert found == {"all": [0, 1, 2, 3, 4], "inserts": [0, 4], "late": [2, 3], "none": []}
    given = {"connection_string": bus.connection_string, "topic": QUEUE, "subscription": "late", "idle_seconds": 1}
    session = Emitted()
    Reader(decode(InputSettings, given), session).run()  # type: ignore[arg-type]  # what it uses of one
    assert [json.loads(line)["data"]["n"] for line in session.lines] == [2, 3]
