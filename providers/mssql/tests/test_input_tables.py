"""Many tables: which ones, at the same time, over few connections, and one that is broken among them."""

from __future__ import annotations

import time

import pytest

from providers.mssql.tests.harness import InputRun, config_of, plan, read, refusal
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


@pytest.fixture
def many(server: SqlServer) -> Database:
    database = server.create_database("shop")
    for name in ("Orders", "OrderLines", "Customers", "sales.Items", "sales.Prices"):
        database.create_table(name, "Id int primary key")
        database.cdc.enable_table(name)
    database.create_table("Untracked", "Id int primary key")
    with database.transaction() as t:
        for table in ("Orders", "OrderLines", "Customers", "sales.Items", "sales.Prices", "Untracked"):
            t.insert(table, Id=1)
    return database


@pytest.mark.parametrize(
    ("tables", "exclude", "found"),
    [
        ([], [], ["Customers", "OrderLines", "Orders", "sales.Items", "sales.Prices"]),
        (["*"], ["sales.*"], ["Customers", "OrderLines", "Orders"]),
        (["Order*"], [], ["OrderLines", "Orders"]),
        (["sales.*", "customers"], [], ["Customers", "sales.Items", "sales.Prices"]),
        (["dbo.Orders", "[sales].[Items]"], [], ["Orders", "sales.Items"]),
        (["*.O?ders"], [], ["Orders"]),
    ],
)
def test_tables_are_named_by_schema_by_pattern_or_not_at_all(
    server: SqlServer, many: Database, tables: list[str], exclude: list[str], found: list[str]
):
    run = read(config_of(server, *tables, exclude=exclude))
    assert sorted(one["metadata"]["TableName"] for one in run.envelopes) == found
    planned = plan(config_of(server, *tables, exclude=exclude))
    assert sorted(one["stream"]["name"] for one in planned if "stream" in one) == found


def test_tables_are_read_at_the_same_time_over_no_more_connections_than_allowed(server: SqlServer):
    database = server.create_database("shop")
    for number in range(30):
        database.create_table(f"T{number}", "Id int primary key")
        database.cdc.enable_table(f"T{number}")
    for step in range(20):
        with database.transaction() as t:
            for number in range(30):
                t.insert(f"T{number}", Id=step)
    run = read(config_of(server, max_connections=3, max_batch_rows=4))
    assert len(run.envelopes) == 600
    for number in range(30):
        own = [one["data"]["Id"] for one in run.envelopes if one["metadata"]["TableName"] == f"T{number}"]
        assert own == list(range(20))
    assert 2 <= server.seen.most_open <= 3


def test_one_table_that_cannot_be_read_does_not_stop_the_others_and_comes_back(server: SqlServer, many: Database):
    many.cdc.instances["dbo_orders"].broken = True
    run = InputRun(config_of(server, "Orders", "Customers"), until=None)
    run.wait_for(lambda one: len(one.envelopes) == 1 and "Orders: cannot be read" in one.said)
    with many.transaction() as t:
        t.insert("Customers", Id=2)
    run.wait_for(lambda one: len(one.envelopes) == 2)
    assert {one["metadata"]["TableName"] for one in run.envelopes} == {"Customers"}
    many.cdc.instances["dbo_orders"].broken = False
    run.wait_for(lambda one: len(one.envelopes) == 3 and "can be read again" in one.said)
    run.stop()
    assert run.ended


def test_a_session_to_the_present_end_fails_with_the_name_of_the_table_that_it_could_not_read(
    server: SqlServer, many: Database
):
    many.cdc.instances["dbo_orders"].broken = True
    run = InputRun(config_of(server, "Orders", "Customers")).finish()
    assert not run.ended
    assert [one["metadata"]["TableName"] for one in run.envelopes] == ["Customers"]
    assert "1 of 2 tables could not be read" in run.said
    assert "dbo.Orders" in run.said
    many.cdc.instances["dbo_orders"].broken = False
    rest = read(config_of(server, "Orders", "Customers"), run.checkpoint)
    assert [one["metadata"]["TableName"] for one in rest.envelopes] == ["Orders"]


def test_a_table_that_does_not_exist_or_has_no_capture_instance_is_named_and_the_others_go_on(
    server: SqlServer, many: Database
):
    run = InputRun(config_of(server, "Orders", "Nowhere", "Untracked")).finish()
    assert [one["metadata"]["TableName"] for one in run.envelopes] == ["Orders"]
    assert "dbo.Nowhere does not exist" in run.said
    assert "dbo.Untracked has no capture instance" in run.said
    alone = refusal(config_of(server, "Untracked"))
    assert alone["summary"] == "No table to follow"
    assert "dstream apply" in alone["detail"]
    strict = refusal(config_of(server, "Orders", "Nowhere", on_table_error="fail"))
    assert "dbo.Nowhere" in strict["detail"]


def test_tables_and_capture_instances_that_appear_while_it_runs_are_followed(server: SqlServer, many: Database):
    run = InputRun(config_of(server, "Order*", refresh_interval="50ms"), until=None)
    run.wait_for(lambda one: len(one.envelopes) == 2)
    many.create_table("OrderNotes", "Id int primary key")
    many.cdc.enable_table("OrderNotes")
    with many.transaction() as t:
        t.insert("OrderNotes", Id=7)
    run.wait_for(lambda one: len(one.envelopes) == 3)
    assert run.envelopes[-1]["metadata"]["TableName"] == "OrderNotes"
    run.stop()
    assert read(config_of(server, "Order*"), run.checkpoint).envelopes == []


def test_a_login_without_the_right_to_read_is_told_what_it_needs(server: SqlServer, many: Database):
    from tests.services.mssql.model import Login

    server.logins["reader"] = Login("reader", "Reader-1", grants={"select cdc", "select dbo.Orders"})
    run = read(config_of(server, login="reader"))
    assert [one["metadata"]["TableName"] for one in run.envelopes] == ["Orders"]
    many.cdc.disable_table("Customers", "dbo_Customers")
    many.cdc.enable_table("Customers", role="cdc_reader")
    server.logins["reader"].grants.add("select dbo.Customers")
    with many.transaction() as t:
        t.insert("Customers", Id=5)
    denied = InputRun(config_of(server, "Customers", login="reader")).finish()
    assert "gating role cdc_reader" in denied.said or "SELECT permission was denied" in denied.said
    server.logins["reader"].roles.add("cdc_reader")
    assert [data for _, data in read(config_of(server, "Customers", login="reader")).told] == [{"Id": 5}]
    server.logins["nobody"] = Login("nobody", "Nobody-1")
    assert "SELECT permission was denied" in refusal(config_of(server, "Orders", login="nobody"))["detail"]


def test_cdc_that_is_off_is_an_error_that_says_how_to_enable_it(server: SqlServer):
    server.create_database("shop", cdc=False).create_table("Orders", "Id int primary key")
    found = refusal(config_of(server, "Orders"))
    assert found["summary"] == "CDC is not enabled"
    assert "sp_cdc_enable_db" in found["detail"]


def test_a_table_that_rests_is_looked_at_less_and_less_often_and_soon_again_after_a_change(
    server: SqlServer, many: Database
):
    polls = Polls()
    server.seen.statements = polls
    run = InputRun(config_of(server, "Orders", poll_interval="5ms", max_poll_interval="10s"), until=None)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    before = len(polls.times)
    run.wait_for(lambda _: len(polls.times) > before + 8)
    first, last = polls.times[before], polls.times[before + 8]
    assert last - first > 0.6, "the eight pauses after it are 5 ms, 10 ms, 20 ms ... 640 ms, or longer ones"
    with many.transaction() as t:
        t.insert("Orders", Id=2)
    run.wait_for(lambda one: len(one.envelopes) == 2)
    for number in range(3, 9):
        with many.transaction() as t:
            t.insert("Orders", Id=number)
        run.wait_for(lambda one, number=number: len(one.envelopes) == number)
    run.stop()


class Polls(list[str]):
    """The statements that a server has received, and when it was asked how far its log is captured."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, text: str, /) -> None:
        """Add a statement."""
        super().append(text)
        if text == "SELECT sys.fn_cdc_get_max_lsn()":
            self.times.append(time.monotonic())


def test_a_burst_on_several_tables_is_checkpointed_within_the_checkpoint_interval(server: SqlServer, many: Database):
    # The heartbeat is an hour away: only the checkpoint of the interval can cover the rows.
    run = InputRun(config_of(server, checkpoint_interval="300ms", heartbeat="1h"), until=None)
    run.wait_for(lambda one: one.covered == len(one.envelopes) == 5)
    for burst in range(1, 13):
        with many.transaction() as t:
            for table in ("Orders", "OrderLines", "Customers"):
                t.insert(table, Id=1 + burst)
        run.wait_for(lambda one, burst=burst: one.covered == len(one.envelopes) == 5 + 3 * burst)
    run.stop()
    assert run.ended
