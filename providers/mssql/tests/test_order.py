"""Order within a transaction: by command where there is one, in pages of any size, from every place on."""

from __future__ import annotations

import random

import pytest

from dstream_mssql import statements
from providers.mssql.tests.harness import InputRun, Json, config_of, read
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


def write(shop: Database, rows: int = 12) -> None:
    """One transaction that changes every row it inserts, and then one key."""
    with shop.transaction() as t:
        for number in range(rows):
            t.insert("Orders", Id=number, Name="new")
            t.update("Orders", {"Id": number}, Name=f"n{number}")
            if number % 3 == 0:
                t.delete("Orders", Id=number)
                t.insert("Orders", Id=number, Name="again")
        t.update("Orders", {"Id": 1}, Id=100)


def lines(run: InputRun) -> list[bytes]:
    return [line for line in run.lines if line.startswith(b'{"data"')]


@pytest.mark.parametrize("command_ids", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 1000])
def test_a_transaction_arrives_in_its_order_in_pages_of_any_size(
    server: SqlServer, shop: Database, command_ids: bool, rows: int
):
    shop.cdc.command_ids = command_ids
    write(shop)
    run = read(config_of(server, "Orders", max_batch_rows=rows))
    of_three = [one for one in run.told if one[1]["Id"] == 3]
    assert [(operation, data["Name"]) for operation, data in of_three] == [
        ("Insert", "new"), ("Update", "n3"), ("Delete", "n3"), ("Insert", "again")
    ]  # fmt: skip
    assert run.told[-2:] == [
        ("Delete", {"Id": 1, "Name": "n1", "Total": None}),
        ("Insert", {"Id": 100, "Name": "n1", "Total": None}),
    ]
    assert len(run.told) == 12 * 2 + 4 * 2 + 2
    positions = [one["metadata"]["Position"] for one in run.envelopes]
    assert positions == sorted(set(positions))


def test_rows_of_one_command_are_ordered_by_their_sequence(server: SqlServer, shop: Database):
    """One UPDATE of several rows may have one command for all of them."""
    write(shop)
    whole = lines(read(config_of(server, "Orders")))
    for row in shop.cdc.instances["dbo_orders"].rows:
        row.seqval, row.command_id = (1 << 40) + row.command_id, 1
    for rows in (1, 3):
        found = read(config_of(server, "Orders", max_batch_rows=rows))
        assert len(found.envelopes) == len(whole)
        positions = [one["metadata"]["Position"] for one in found.envelopes]
        assert positions == sorted(set(positions))


def test_every_place_within_a_transaction_is_one_to_go_on_from(server: SqlServer, shop: Database):
    write(shop, 5)
    whole = lines(read(config_of(server, "Orders")))
    checkpoint: Json | None = None
    found: list[bytes] = []
    generator = random.Random(5)
    while len(found) < len(whole):
        limit = generator.choice([1, 2, 3])
        run = InputRun(config_of(server, "Orders"), checkpoint, until=None, max_records=limit).finish()
        assert run.ended, run.said
        found, checkpoint = found + lines(run), run.checkpoint
    assert found == whole


def test_a_page_reads_ranges_of_the_clustered_index_that_are_no_longer_than_itself(server: SqlServer, shop: Database):
    """Each part of a page has bounds on leading columns of the index alone, its order, and its own TOP."""
    for within in (False, True):
        text = statements.changes("dbo_Orders", [("Id", "int", 4)], ["Id"], within=within)
        parts = text.split("FROM [cdc].[dbo_Orders_CT]")[1:]
        assert len(parts) == (3 if within else 1)
        assert text.count("TOP (@P1) WITH TIES") == (4 if within else 1)
        for part in parts:
            condition, _, order = part.partition(" ORDER BY ")
            assert order.startswith("[__$start_lsn], [__$command_id], [__$seqval]")
            assert " OR " not in condition


def test_a_checkpoint_of_an_earlier_version_within_a_transaction_goes_on_by_sequence_to_its_end(
    server: SqlServer, shop: Database
):
    shop.cdc.command_ids = False
    write(shop, 4)
    whole = [one["data"] for one in read(config_of(server, "Orders")).envelopes]
    first = InputRun(config_of(server, "Orders"), until=None, max_records=3).finish()
    assert first.checkpoint is not None
    assert "seq" in first.checkpoint["tables"]["dbo.Orders"]
    shop.cdc.command_ids = True
    for number, row in enumerate(shop.cdc.instances["dbo_orders"].rows):
        row.command_id = number
    with shop.transaction() as t:
        t.insert("Orders", Id=50)
    rest = read(config_of(server, "Orders", max_batch_rows=2), first.checkpoint)
    assert [one["data"] for one in first.envelopes + rest.envelopes][: len(whole)] == whole
    assert rest.told[-1][1]["Id"] == 50


@pytest.mark.parametrize("gone", ["instance", "commands"])
def test_where_the_commands_of_a_place_mean_nothing_the_transaction_comes_again(
    server: SqlServer, shop: Database, gone: str
):
    """Another change table numbers in its own way, and one without numbers cannot be read from one on."""
    shop.cdc.enable_table("Orders", instance="second")
    write(shop, 4)
    whole = [one["data"] for one in read(config_of(server, "Orders")).envelopes]
    first = InputRun(config_of(server, "Orders"), until=None, max_records=3).finish()
    if gone == "instance":
        shop.cdc.disable_table("dbo.Orders", "second")
    else:
        shop.cdc.command_ids = False
        for row in shop.cdc.instances["second"].rows:
            row.seqval = row.command_id
    rest = read(config_of(server, "Orders"), first.checkpoint)
    assert "again from its beginning" in rest.said
    assert [one["data"] for one in rest.envelopes] == whole


def test_cleanup_while_a_page_is_read_is_a_gap_and_not_an_empty_page(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    first = read(config_of(server, "Orders"))
    with shop.transaction() as t:
        t.insert("Orders", Id=2)
    newest = shop.cdc.max_lsn()

    def clean(text: str) -> None:
        if "dbo_Orders_CT" in text:
            server.before = None
            assert newest is not None
            shop.cdc.idle_entry()
            shop.cdc.cleanup(newest + 1)

    server.before = clean
    run = InputRun(config_of(server, "Orders"), first.checkpoint).finish()
    assert not run.ended
    assert "Changes were lost" in run.said
    assert run.envelopes == []
