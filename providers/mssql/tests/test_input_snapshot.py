"""The rows that are there come first, as of one moment, and the changes after it follow: none missing, none twice."""

from __future__ import annotations

import threading
import time

from providers.mssql.tests.harness import InputRun, config_of, read
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer


def fill(shop: Database, count: int) -> None:
    with shop.transaction() as t:
        t.insert_rows("Orders", [(number, f"row {number}", None) for number in range(count)])


def test_rows_are_read_then_changes_follow_and_the_next_session_reads_no_rows_again(server: SqlServer, shop: Database):
    fill(shop, 3)
    first = read(config_of(server, "Orders", snapshot="initial"))
    assert [(operation, data["Id"]) for operation, data in first.told] == [("Read", 0), ("Read", 1), ("Read", 2)]
    assert first.envelopes[0]["metadata"]["Key"] == {"Id": 0}
    with shop.transaction() as t:
        t.delete("Orders", Id=1)
    second = read(config_of(server, "Orders", snapshot="initial"), first.checkpoint)
    assert [(operation, data["Id"]) for operation, data in second.told] == [("Delete", 1)]


def test_rows_that_change_while_they_are_read_arrive_as_of_one_moment_and_their_changes_once(
    server: SqlServer, shop: Database
):
    fill(shop, 3000)
    halt = threading.Event()

    def write() -> None:
        number = 0
        while not halt.is_set():
            number += 1
            with shop.transaction() as t:
                t.update("Orders", {"Id": number * 37 % 3000}, Name=f"version {number}")
                t.insert("Orders", Id=10_000 + number)
            time.sleep(0.002)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    run = InputRun(config_of(server, "Orders", snapshot="initial"), until=None)
    run.wait_for(lambda one: len(one.envelopes) > 3300)
    halt.set()
    writer.join()
    rest = read(config_of(server, "Orders", snapshot="initial"), run.stop().checkpoint)
    target: dict[int, str] = {}
    for one in [*run.envelopes, *rest.envelopes]:
        operation, data = one["metadata"]["OperationType"], one["data"]
        if operation == "Insert":
            assert data["Id"] not in target, "an insert that the snapshot holds already"
        if operation == "Update":
            assert one["metadata"]["Before"]["Name"] == target[data["Id"]], "an update that the snapshot holds already"
        target[data["Id"]] = data["Name"]
    assert target == {row[0]: row[1] for row in shop.read(shop.table("Orders"))}


def test_the_lock_is_held_for_moments_only(server: SqlServer, shop: Database):
    fill(shop, 200)
    held: list[float] = []

    def note(text: str) -> None:
        if text.startswith("SELECT [Id] AS [Id]"):
            held.append(float(len(shop.table("Orders").holders)))

    server.before = note
    read(config_of(server, "Orders", snapshot="initial"))
    assert held == [0.0]
    assert any("TABLOCK" in text for text in server.seen.statements)


def test_without_snapshot_isolation_rows_are_read_all_the_same_and_changes_meanwhile_come_again(
    server: SqlServer, shop: Database
):
    shop.allow_snapshot_isolation = False
    fill(shop, 5)
    run = read(config_of(server, "Orders", snapshot="initial"))
    assert [data["Id"] for _, data in run.told] == list(range(5))
    assert not any("TABLOCK" in text for text in server.seen.statements)


def test_without_the_right_to_ask_where_the_log_ends_it_says_what_is_missing(server: SqlServer, shop: Database):
    server.logins["reader"] = Login("reader", "Reader-1", grants={"select cdc", "select *"})
    fill(shop, 5)
    run = read(config_of(server, "Orders", snapshot="initial", login="reader"))
    assert [data["Id"] for _, data in run.told] == list(range(5))
    assert "VIEW DATABASE STATE" in run.said
    assert shop.table("Orders").holders == {}


def test_killed_in_the_middle_of_reading_rows_it_empties_the_target_and_starts_over(server: SqlServer, shop: Database):
    fill(shop, 10)
    killed = InputRun(config_of(server, "Orders", snapshot="initial"), env={"DSTREAM_FAULT": "mid_snapshot"}).finish()
    assert not killed.ended
    assert killed.checkpoint is not None
    with shop.transaction() as t:
        t.delete("Orders", Id=3)
    run = read(config_of(server, "Orders", snapshot="initial"), killed.checkpoint)
    assert run.told[0][0] == "Truncate"
    assert [data["Id"] for _, data in run.told[1:]] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_table_that_is_added_later_is_read_when_it_appears_and_the_others_are_not(server: SqlServer, shop: Database):
    fill(shop, 2)
    first = read(config_of(server, "Orders", snapshot="initial"))
    shop.create_table("Items", "Id int primary key")
    shop.cdc.enable_table("Items")
    with shop.transaction() as t:
        t.insert("Items", Id=1)
    second = read(config_of(server, "Orders", "Items", snapshot="initial"), first.checkpoint)
    assert [(one["metadata"]["TableName"], one["metadata"]["OperationType"]) for one in second.envelopes] == [
        ("Items", "Read")
    ]
    running = InputRun(config_of(server, snapshot="initial", refresh_interval="50ms"), second.checkpoint, until=None)
    running.wait_for(lambda one: one.status.get("status") == "ready")
    shop.create_table("More", "Id int primary key")
    with shop.transaction() as t:
        t.insert("More", Id=1)
    shop.cdc.enable_table("More")
    running.wait_for(lambda one: len(one.envelopes) == 1)
    assert running.envelopes[0]["metadata"]["OperationType"] == "Read"
    running.stop()


def test_start_now_leaves_out_what_was_captured_before(server: SqlServer, shop: Database):
    fill(shop, 2)
    first = read(config_of(server, "Orders", start="now"))
    assert first.envelopes == []
    with shop.transaction() as t:
        t.insert("Orders", Id=9)
    assert [data["Id"] for _, data in read(config_of(server, "Orders", start="now"), first.checkpoint).told] == [9]


def test_a_connection_that_breaks_while_rows_are_read_starts_that_table_over(server: SqlServer, shop: Database):
    shop.create_table("Wide", "Id int primary key, Body nvarchar(2000)")
    with shop.transaction() as t:
        t.insert_rows("Wide", [(number, "x" * 1900) for number in range(300)])
        t.insert("Orders", Id=1)
    shop.cdc.enable_table("Wide")
    server.drop("FROM [dbo].[Wide]", after_rows=200, times=2)
    run = read(config_of(server, "Orders", "Wide", snapshot="initial"))
    operations = [one["metadata"]["OperationType"] for one in run.envelopes if one["metadata"]["TableName"] == "Wide"]
    assert operations[0] in ("Read", "Truncate")
    last = len(operations) - 1 - operations[::-1].index("Truncate")
    assert operations[last + 1 :] == ["Read"] * 300
    assert [one["data"] for one in run.envelopes if one["metadata"]["TableName"] == "Orders"][-1]["Id"] == 1
    assert "retrying" in run.said
