"""Where tables begin that have no place yet: an LSN, a time, the older project's offsets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from providers.mssql.tests.harness import config_of, read, refusal
from tests.services.mssql.flavours import AZURE, BOX, MANAGED, Flavour
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


def insert(shop: Database, *numbers: int) -> None:
    for number in numbers:
        with shop.transaction() as t:
            t.insert("Orders", Id=number)


def ids(run: Any) -> list[int]:
    return [data["Id"] for _, data in run.told]


def lsn_of(server: SqlServer, number: int) -> str:
    found = read(config_of(server, "Orders")).envelopes
    return str(next(each["metadata"]["LSN"] for each in found if each["data"]["Id"] == number))


@pytest.mark.parametrize("form", ["{lsn}", "0x{lsn}"])
def test_an_lsn_is_where_a_table_begins(server: SqlServer, shop: Database, form: str) -> None:
    insert(shop, 1, 2, 3)
    start = form.format(lsn=lsn_of(server, 2))
    run = read(config_of(server, "Orders", start=start))
    assert ids(run) == [2, 3]
    insert(shop, 4)
    assert ids(read(config_of(server, "Orders", start=start), run.checkpoint)) == [4], (
        "the checkpoint counts from now on"
    )


def test_a_time_is_where_a_table_begins(server: SqlServer, shop: Database) -> None:
    insert(shop, 1)
    server.clock.travel(hours=2)
    between = server.clock.now() - timedelta(hours=1)
    insert(shop, 2)
    start = between.replace(tzinfo=None).isoformat(timespec="seconds")
    assert ids(read(config_of(server, "Orders", start=f"{start}Z"))) == [2]
    assert ids(read(config_of(server, "Orders", start=f"{start}+02:00"))) == [1, 2]
    later = (server.clock.now() + timedelta(hours=1)).replace(tzinfo=None).isoformat(timespec="seconds")
    assert ids(read(config_of(server, "Orders", start=f"{later}Z"))) == []


BOX_2019 = Flavour("box 2019", 3, "Developer Edition (64-bit)", "15.0.4385.2")
AUTUMN, SPRING = datetime(2026, 10, 25, 1), datetime(2027, 3, 28, 1)
"""When summer time ends and begins in Berlin, in UTC."""


@pytest.mark.parametrize("flavour", [BOX, BOX_2019, AZURE, MANAGED], ids=lambda one: one.name)
@pytest.mark.parametrize("change", [AUTUMN, SPRING], ids=["autumn", "spring"])
def test_a_time_before_the_clock_was_changed_misses_nothing(flavour: Flavour, change: datetime) -> None:
    with SqlServer(flavour=flavour) as server:
        clock = server.clock
        clock.zone_id = "W. Europe Standard Time"
        summer, winter = timedelta(hours=2), timedelta(hours=1)
        before, after = (summer, winter) if change is AUTUMN else (winter, summer)
        clock.ahead_of_utc = lambda moment: before if moment < change else after
        clock.set(change - timedelta(hours=6))
        shop = server.create_database("shop")
        shop.create_table("Orders", "Id int primary key")
        shop.cdc.enable_table("Orders")
        # The minutes from the change at which each row is inserted; in autumn, 2 and 4 have the same local time.
        for number, minutes in enumerate((-300, -50, -10, 10, 90), 1):
            clock.set(change + timedelta(minutes=minutes))
            insert(shop, number)
            shop.cdc.capture()
        clock.set(change + timedelta(hours=5))

        def after_start(minutes: int) -> list[int]:
            start = f"{(change + timedelta(minutes=minutes)).isoformat()}Z"
            return ids(read(config_of(server, "Orders", start=start)))

        assert after_start(-30) == ([3, 4, 5] if change is SPRING else [2, 3, 4, 5]), "no row is missed"
        assert after_start(-130) == [2, 3, 4, 5], "and no old row is repeated"
        assert after_start(60)[-1:] == [5]
        if flavour is not BOX_2019:
            assert after_start(60) == [5], "an hour without a change of the clock is exact"


@pytest.mark.parametrize("name", ["Orders", "dbo.orders"])
def test_the_offsets_of_the_older_project_are_taken_over(server: SqlServer, shop: Database, name: str) -> None:
    shop.create_table("Parts", "Id int primary key")
    shop.cdc.enable_table("Parts")
    insert(shop, 1, 2, 3)
    with shop.transaction() as t:
        t.insert("Parts", Id=7)
    lsn = bytes.fromhex(lsn_of(server, 2))
    shop.create_table("cdc_offsets", "table_name nvarchar(255) primary key, last_lsn varbinary(10)")
    with shop.transaction() as t:
        t.insert("cdc_offsets", table_name=name, last_lsn=lsn)
    run = read(config_of(server, "Orders", "Parts", start="cdc_offsets"))
    assert sorted(ids(run)) == [2, 3, 7], "the last transaction again, and a table without an offset from its beginning"
    assert "not in cdc_offsets" in run.said
    by_command = read(config_of(server, "Orders"), {"start": "cdc_offsets"})
    assert ids(by_command) == [2, 3]


def test_a_start_that_is_no_longer_kept_is_a_gap(server: SqlServer, shop: Database) -> None:
    insert(shop, 1, 2)
    start = lsn_of(server, 1)
    server.clock.travel(days=4)
    insert(shop, 3)
    shop.cdc.cleanup()
    assert refusal(config_of(server, "Orders", start=start))["summary"] == "Changes were lost"


def test_a_checkpoint_may_ask_for_a_start(server: SqlServer, shop: Database) -> None:
    insert(shop, 1, 2)
    config = config_of(server, "Orders", start="now")
    assert ids(read(config, {"start": "oldest"})) == [1, 2]
    assert ids(read(config_of(server, "Orders"), {"start": "now"})) == []
    assert ids(read(config, {"start": lsn_of(server, 2)})) == [2]
    assert refusal(config, {"start": "yesterday"})["summary"] == "Invalid checkpoint"


@pytest.mark.parametrize("start", ["yesterday", "2026-11-30T08:00:00", "0x12", ""])
def test_any_other_start_is_refused(server: SqlServer, start: str) -> None:
    refused = refusal(config_of(server, "Orders", start=start))
    assert (refused["class"], "cdc_offsets" in refused["detail"]) == ("invalid", True)
