"""Changes become envelopes: operations, before images, keys, order, several tables, places to go on from."""

from __future__ import annotations

import re

from providers.mssql.tests.harness import InputRun, config_of, read
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


def test_inserts_updates_and_deletes_arrive_in_order_with_the_row_before_an_update(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1, Name="a", Total="1.50")
    with shop.transaction() as t:
        t.update("Orders", {"Id": 1}, Name="b")
        t.delete("Orders", Id=1)
    run = read(config_of(server, "Orders"))
    assert run.told == [
        ("Insert", {"Id": 1, "Name": "a", "Total": 1.5}),
        ("Update", {"Id": 1, "Name": "b", "Total": 1.5}),
        ("Delete", {"Id": 1, "Name": "b", "Total": 1.5}),
    ]
    insert, update, delete = (one["metadata"] for one in run.envelopes)
    assert update["Before"] == {"Id": 1, "Name": "a", "Total": 1.5}
    assert "Before" not in insert
    assert [one["OperationID"] for one in (insert, update, delete)] == [2, 4, 1]
    assert [one["Key"] for one in (insert, update, delete)] == [{"Id": 1}] * 3
    assert {one["TableName"] for one in (insert, update, delete)} == {"Orders"}
    assert insert["Schema"] == "dbo"
    assert re.fullmatch(r"[0-9a-f]{20}", insert["LSN"])
    assert re.fullmatch(r"[0-9a-f]{20}", insert["Seq"])
    assert update["LSN"] == delete["LSN"] > insert["LSN"]
    positions = [one["Position"] for one in (insert, update, delete)]
    assert positions == sorted(positions)
    assert len(set(positions)) == 3


def test_a_session_goes_on_where_the_last_one_stopped(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    first = read(config_of(server, "Orders"))
    assert read(config_of(server, "Orders"), first.checkpoint).envelopes == []
    with shop.transaction() as t:
        t.insert("Orders", Id=2)
    assert [data["Id"] for _, data in read(config_of(server, "Orders"), first.checkpoint).told] == [2]


def test_changes_that_are_made_while_it_runs_arrive_and_sigterm_ends_it_with_a_checkpoint(
    server: SqlServer, shop: Database
):
    run = InputRun(config_of(server, "Orders"), until=None)
    for number in range(5):
        with shop.transaction() as t:
            t.insert("Orders", Id=number)
        run.wait_for(lambda one, number=number: len(one.envelopes) == number + 1)
    run.stop()
    assert run.ended
    assert read(config_of(server, "Orders"), run.checkpoint).envelopes == []


def test_a_change_of_the_primary_key_is_a_delete_and_an_insert_and_several_at_once_lose_none(
    server: SqlServer, shop: Database
):
    """One statement that moves several keys shares one sequence number, and numbers its deletes before its inserts."""
    with shop.transaction() as t:
        for number in range(1, 6):
            t.insert("Orders", Id=number, Name=f"n{number}")
    first = read(config_of(server, "Orders"))
    with shop.transaction() as t:
        t.move("Orders", "Id", {1: 2, 2: 3, 3: 4, 4: 5, 5: 1})
    run = read(config_of(server, "Orders", max_batch_rows=1), first.checkpoint)
    assert [operation for operation, _ in run.told] == ["Delete"] * 5 + ["Insert"] * 5
    assert [(data["Id"], data["Name"]) for _, data in run.told[5:]] == [
        (2, "n1"), (3, "n2"), (4, "n3"), (5, "n4"), (1, "n5")
    ]  # fmt: skip
    assert len({one["metadata"]["Position"] for one in run.envelopes}) == 10


def test_keys_are_chosen_in_the_configuration_and_their_change_says_the_old_one(server: SqlServer, shop: Database):
    shop.create_table("Log", "At int, What nvarchar(10)")
    shop.cdc.enable_table("Log")
    with shop.transaction() as t:
        t.insert("Log", At=1, What="x")
    with shop.transaction() as t:
        t.update("Log", {"At": 1}, At=2)
    plain = read(config_of(server, "Log"))
    assert [one["metadata"].get("Key") for one in plain.envelopes] == [None, None]
    keyed = read(config_of(server, "Log", keys={"Log": ["At"]}, before_images=False))
    assert keyed.envelopes[1]["metadata"]["Key"] == {"At": 2}
    assert keyed.envelopes[1]["metadata"]["OldKey"] == {"At": 1}
    assert "Before" not in keyed.envelopes[1]["metadata"]


def test_large_values_are_in_the_row_before_an_update_only_if_the_update_changed_them(
    server: SqlServer, shop: Database
):
    shop.create_table("Docs", "Id int primary key, Title nvarchar(20), Body nvarchar(max), Scan varbinary(max)")
    shop.cdc.enable_table("Docs")
    with shop.transaction() as t:
        t.insert("Docs", Id=1, Title="a", Body="long", Scan=b"\x01")
    with shop.transaction() as t:
        t.update("Docs", {"Id": 1}, Title="b")
    with shop.transaction() as t:
        t.update("Docs", {"Id": 1}, Body="longer")
    _, title, body = read(config_of(server, "Docs")).envelopes
    assert title["metadata"]["Before"] == {"Id": 1, "Title": "a"}
    assert title["data"] == {"Id": 1, "Title": "b", "Body": "long", "Scan": "0x01"}
    assert body["metadata"]["Before"] == {"Id": 1, "Title": "b", "Body": "long"}


def test_a_computed_column_is_not_captured_and_stays_out_of_the_data(server: SqlServer, shop: Database):
    shop.create_table("Sums", "Id int primary key, A int, Twice as int")
    shop.cdc.enable_table("Sums")
    with shop.transaction() as t:
        t.insert("Sums", Id=1, A=2)
    assert read(config_of(server, "Sums", snapshot="initial")).told == [("Read", {"Id": 1, "A": 2})]
    assert read(config_of(server, "Sums")).told == [("Insert", {"Id": 1, "A": 2})]


def test_pages_of_any_size_give_the_same_lines(server: SqlServer, shop: Database):
    for number in range(20):
        with shop.transaction() as t:
            t.insert("Orders", Id=number)
            t.update("Orders", {"Id": max(number - 1, 0)}, Name=f"later {number}")
    lines = {}
    for rows in (1, 2, 3, 7, 10_000):
        run = read(config_of(server, "Orders", max_batch_rows=rows))
        lines[rows] = [line for line in run.lines if line.startswith(b'{"data"')]
    assert len(lines[10_000]) == 40
    assert all(found == lines[10_000] for found in lines.values())


def test_it_stops_after_max_records_within_a_transaction_and_goes_on_there(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        for number in range(10):
            t.insert("Orders", Id=number)
    checkpoint, found = None, []
    for _ in range(5):
        run = InputRun(config_of(server, "Orders"), checkpoint, until=None, max_records=2).finish()
        assert run.ended, run.said
        assert len(run.envelopes) == 2
        checkpoint, found = run.checkpoint, found + [data["Id"] for _, data in run.told]
    assert found == list(range(10))


def test_rows_that_are_small_and_rows_that_are_large_share_a_limit_of_bytes(server: SqlServer, shop: Database):
    shop.create_table("Blobs", "Id int primary key, Body varchar(max)")
    shop.cdc.enable_table("Blobs")
    with shop.transaction() as t:
        for number in range(40):
            t.insert("Blobs", Id=number, Body="x" * 50_000)
            t.insert("Orders", Id=number)
    read(config_of(server, "Blobs", "Orders", batch_bytes=200_000))
    asked = [text for text in server.seen.statements if "dbo_Blobs_CT" in text]
    assert 8 < len(asked) < 45
    assert len([text for text in server.seen.statements if "dbo_Orders_CT" in text]) <= 3
