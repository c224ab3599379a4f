"""ALTER TABLE while a task runs: no change and no value is lost, and what does not arrive is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dstream_mssql import statements
from providers.mssql.tests.harness import InputRun, config_of, read, refusal
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

ORDERS = "dbo.Orders"


def insert(shop: Database, number: int, **more: object) -> None:
    with shop.transaction() as t:
        t.insert("Orders", Id=number, **more)


@contextmanager
def running(server: SqlServer, checkpoint: dict | None = None, **more: object) -> Iterator[InputRun]:
    """A task that runs with refresh_interval as it is by default, far longer than a test."""
    run = InputRun(config_of(server, "Orders", heartbeat="50ms", **more), checkpoint, until=None)
    try:
        yield run
    finally:
        run.stop()


def numbers(run: InputRun) -> list[int]:
    return [data["Id"] for _, data in run.told]


def test_values_of_a_new_column_arrive_from_where_the_second_capture_instance_begins(server: SqlServer, shop: Database):
    with running(server) as run:
        insert(shop, 1)
        run.wait_for(lambda one: numbers(one) == [1])
        shop.add_column("Orders", "Note nvarchar(20)")
        insert(shop, 2, Note="nobody has captured this")
        shop.cdc.enable_table("Orders", instance="dbo_Orders_2")
        for number in range(3, 40):
            insert(shop, number, Note=f"note {number}")
        run.wait_for(lambda one: len(one.envelopes) >= 39)
    assert numbers(run) == list(range(1, 40))
    assert [data.get("Note") for _, data in run.told] == [None, None, *(f"note {number}" for number in range(3, 40))]
    assert run.said.count("continues in the capture instance dbo_Orders_2") == 1
    assert run.checkpoint is not None
    assert run.checkpoint["tables"][ORDERS]["instance"] == "dbo_Orders_2"


def test_the_second_is_gone_over_to_when_the_capture_agent_has_begun_with_it(server: SqlServer, shop: Database):
    insert(shop, 1)
    with running(server) as run:
        run.wait_for(lambda one: numbers(one) == [1])
        shop.cdc.running = False
        shop.add_column("Orders", "Note nvarchar(20)")
        insert(shop, 2, Note="nobody has captured this")
        shop.cdc.enable_table("Orders", instance="dbo_Orders_2")
        insert(shop, 3, Note="c")
        looked = len(server.seen.statements)
        run.wait_for(lambda _: len(server.seen.statements) > looked + 5)
        checkpoint = run.checkpoint
        assert numbers(run) == [1]
        shop.cdc.running = True
        run.wait_for(lambda one: numbers(one) == [1, 2, 3])
    assert [data.get("Note", "absent") for _, data in run.told] == ["absent", "absent", "c"]
    # The same for a task that starts in between: it has a checkpoint from before, and there is nothing lost.
    again = read(config_of(server, "Orders"), checkpoint)
    assert [(data["Id"], data.get("Note", "absent")) for _, data in again.told] == [(2, "absent"), (3, "c")]


def test_a_task_that_starts_before_the_agent_has_begun_waits_and_misses_nothing(server: SqlServer, shop: Database):
    other = server.create_database("other")
    other.create_table("Orders", "Id int primary key, Name nvarchar(50)")
    other.create_table("Busy", "Id int primary key")
    other.cdc.enable_table("Busy")
    other.cdc.running = False
    other.cdc.enable_table("Orders")
    insert(other, 1)
    threading.Timer(0.7, lambda: setattr(other.cdc, "running", True)).start()
    until = read(config_of(server, "Orders", "Busy", database="other"))
    assert numbers(until) == [1]
    # Nobody waits for ever: the others go on, and the table follows when the agent has come to it.
    other.cdc.disable_table("Orders", "dbo_Orders")
    other.cdc.running = False
    other.cdc.enable_table("Orders", instance="late")
    insert(other, 2)
    run = InputRun(config_of(server, "Orders", "Busy", database="other", start="now"), until=None)
    run.wait_for(lambda one: "dbo.Orders: waiting for the capture agent" in one.said)
    run.wait_for(lambda one: one.status.get("status") == "ready")
    insert(other, 3)
    other.cdc.running = True
    run.wait_for(lambda one: numbers(one) == [2, 3])
    run.stop()


def test_a_first_snapshot_waits_for_the_agent_too(server: SqlServer):
    other = server.create_database("other")
    other.create_table("Orders", "Id int primary key")
    insert(other, 1)
    other.cdc.running = False
    other.cdc.enable_table("Orders")
    threading.Timer(0.7, lambda: setattr(other.cdc, "running", True)).start()
    run = read(config_of(server, "Orders", database="other", snapshot="initial"))
    assert run.told == [("Read", {"Id": 1})]
    insert(other, 2)
    assert numbers(read(config_of(server, "Orders", database="other"), run.checkpoint)) == [2]


@pytest.mark.parametrize("kind", ["varchar(200)", "varchar(max)", "nvarchar(200)"])
def test_values_in_a_column_that_was_made_longer_arrive_whole(server: SqlServer, kind: str):
    shop = server.create_database("shop")
    shop.create_table("Orders", "Id int primary key, Name varchar(5)")
    shop.cdc.enable_table("Orders")
    with running(server) as run:
        insert(shop, 1, Name="short")
        run.wait_for(lambda one: numbers(one) == [1])
        shop.alter_column("Orders", "Name", kind)
        insert(shop, 2, Name="x" * 150)
        run.wait_for(lambda one: numbers(one) == [1, 2])
    assert run.told[1] == ("Insert", {"Id": 2, "Name": "x" * 150})


def test_values_of_another_type_arrive_as_that_type(server: SqlServer, shop: Database):
    with running(server) as run:
        insert(shop, 1, Total="1.50")
        run.wait_for(lambda one: numbers(one) == [1])
        shop.alter_column("Orders", "Total", "varchar(30)")
        insert(shop, 2, Total="¥ 12")
        shop.drop_column("Orders", "Total")
        insert(shop, 3)
        run.wait_for(lambda one: numbers(one) == [1, 2, 3])
    assert [data["Total"] for _, data in run.told] == [1.5, "¥ 12", None]


def test_a_table_of_which_a_page_is_on_its_way_is_looked_at_before_more_is_read(server: SqlServer):
    shop = server.create_database("shop")
    shop.create_table("Orders", "Id int primary key, Name varchar(5)")
    shop.cdc.enable_table("Orders")
    asked, answer = threading.Event(), threading.Event()

    def hold(text: str) -> None:
        if "dbo_Orders_CT" in text:
            asked.set()
            answer.wait(30)

    server.before = hold
    with running(server, poll_interval="2s", max_poll_interval="2s", max_batch_rows=1) as run:
        insert(shop, 1, Name="short")
        assert asked.wait(30)
        looked = server.seen.statements.count(statements.CAPTURED_COLUMNS)
        shop.alter_column("Orders", "Name", "varchar(200)")
        insert(shop, 2, Name="x" * 150)
        run.wait_for(lambda _: server.seen.statements.count(statements.CAPTURED_COLUMNS) > looked)
        answer.set()
        run.wait_for(lambda one: numbers(one) == [1, 2])
    assert run.told[1] == ("Insert", {"Id": 2, "Name": "x" * 150})


def test_a_capture_instance_that_comes_while_a_session_opens_is_not_read_past(server: SqlServer, shop: Database):
    insert(shop, 1)
    done = threading.Event()

    def meanwhile(text: str) -> None:
        if text == statements.MAX_LSN and not done.is_set():
            done.set()
            shop.add_column("Orders", "Note nvarchar(20)")
            shop.cdc.enable_table("Orders", instance="dbo_Orders_2")
            insert(shop, 2, Note="b")

    server.before = meanwhile
    found = read(config_of(server, "Orders"))
    assert [(data["Id"], data.get("Note")) for _, data in found.told] == [(1, None), (2, "b")]


def test_altering_under_load_loses_and_repeats_nothing(server: SqlServer, shop: Database):
    shop.create_table("Busy", "Id int primary key, Name varchar(3)")
    shop.cdc.enable_table("Busy")
    stop = threading.Event()
    written = [0]

    def write() -> None:
        while not stop.is_set():
            number = written[0] + 1
            with shop.lock, shop.transaction() as t:  # which ALTER TABLE waits for
                t.insert("Orders", Id=number)
                t.insert("Busy", Id=number, Name=str(number % 1000))
            written[0] = number
            time.sleep(0.003)

    config = config_of(server, "Orders", "Busy", max_batch_rows=7)
    run = InputRun(config, until=None)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for step in range(1, 4):
            run.wait_for(lambda one, step=step: len(one.envelopes) > 150 * step)  # type: ignore[misc]  # bound now
            with shop.lock:
                shop.alter_column("Busy", "Name", f"varchar({10 * step})")
                shop.add_column("Orders", f"Column{step} int")
                old = sorted(shop.cdc.instances.values(), key=lambda one: one.enabled_at)
                orders = [one for one in old if one.table.name == "Orders"]
                if len(orders) == 1:
                    shop.cdc.enable_table("Orders", instance=f"orders_{step}")
        run.wait_for(lambda one: len(one.envelopes) > 600)
    finally:
        stop.set()
        writer.join()
    run.wait_for(lambda one: len(one.envelopes) >= 2 * written[0])
    run.stop()
    for table in ("Orders", "Busy"):
        found = [one["data"]["Id"] for one in run.envelopes if one["metadata"]["TableName"] == table]
        assert found == list(range(1, written[0] + 1)), table
    assert "continues in the capture instance orders_1" in run.said


def test_what_does_not_arrive_is_said_once_with_what_is_to_be_done(server: SqlServer, shop: Database):
    shop.add_column("Orders", "Note nvarchar(20)")
    with running(server) as run:
        run.wait_for(lambda one: "does not capture the column Note" in one.said)
        assert "warning: dbo.Orders: the capture instance dbo_Orders" in run.said
        assert "By hand: EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'Orders'," in run.said
        assert "@capture_instance = N'dbo_Orders_2', @role_name = NULL" in run.said
        insert(shop, 1, Note="a")
        run.wait_for(lambda one: numbers(one) == [1])
        shop.add_column("Orders", "More int")
        insert(shop, 2, Note="b")
        run.wait_for(lambda one: "does not capture the columns Note, More" in one.said)
        looked = server.seen.statements.count(statements.CAPTURED_COLUMNS)
        shop.create_table("Other", "Id int primary key")
        shop.cdc.enable_table("Other")
        with shop.transaction() as t:
            t.insert("Other", Id=1)
        run.wait_for(lambda _: server.seen.statements.count(statements.CAPTURED_COLUMNS) > looked)
        shop.cdc.enable_table("Orders", instance="dbo_Orders_2")
        insert(shop, 3, Note="c")
        run.wait_for(lambda one: numbers(one) == [1, 2, 3])
        shop.add_column("Orders", "Third int")
        insert(shop, 4, Note="d")
        run.wait_for(lambda one: "as many as a table can have" in one.said)
        assert "sp_cdc_disable_table" in run.said
    assert run.said.count("does not capture the column") == 3


def test_columns_that_are_to_be_ignored_are_passed_over_in_silence(server: SqlServer, shop: Database):
    with running(server, new_columns="ignore") as run:
        shop.add_column("Orders", "Note nvarchar(20)")
        insert(shop, 1, Note="a")
        run.wait_for(lambda one: numbers(one) == [1])
    assert "does not capture" not in run.said


def test_who_may_not_ask_for_ddl_history_notices_late_but_notices(server: SqlServer, shop: Database):
    server.fail("ddl_history", 229, "The SELECT permission was denied on the object 'ddl_history'.", times=1_000_000)
    with running(server, refresh_interval="200ms") as run:
        run.wait_for(lambda one: "new columns are detected late" in one.said)
        insert(shop, 1, Total="1.5")
        shop.alter_column("Orders", "Total", "varchar(30)")
        looked = server.seen.statements.count(statements.CAPTURED_COLUMNS)
        run.wait_for(lambda _: server.seen.statements.count(statements.CAPTURED_COLUMNS) >= looked + 2)
        insert(shop, 2, Total="¥ 12")
        run.wait_for(lambda one: numbers(one) == [1, 2])
    assert run.told[1][1]["Total"] == "¥ 12"


def test_a_table_that_was_captured_anew_is_a_gap_even_if_the_others_went_on_meanwhile(
    server: SqlServer, shop: Database
):
    shop.create_table("Busy", "Id int primary key")
    shop.cdc.enable_table("Busy")
    insert(shop, 1)
    config = config_of(server, "Orders", "Busy")
    checkpoint = read(config).checkpoint
    shop.cdc.disable_table("Orders", "dbo_Orders")
    insert(shop, 2)
    with shop.transaction() as t:
        t.insert("Busy", Id=1)
    between = read(config, checkpoint)
    assert [one["metadata"]["TableName"] for one in between.envelopes] == ["Busy"]
    run = InputRun(config, between.checkpoint, until=None)
    run.wait_for(lambda one: "dbo.Orders has no capture instance" in one.said)
    run.wait_for(lambda one: one.status.get("status") == "ready")
    shop.cdc.enable_table("Orders")
    insert(shop, 3)
    run.finish()
    assert "dbo.Orders" in run.status["diagnostics"][0]["detail"]
    assert run.status["diagnostics"][0]["summary"] == "Changes were lost"
    assert "dbo.Orders" in refusal(config, between.checkpoint)["detail"]
    # A table that the configuration does not mean any more is forgotten.
    without = read(config_of(server, "Busy"), between.checkpoint).checkpoint
    assert without is not None
    assert list(without["tables"]) == ["dbo.Busy"]
