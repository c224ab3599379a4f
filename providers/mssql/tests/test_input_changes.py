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
    assert update["Seq"] < delete["Seq"]
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
