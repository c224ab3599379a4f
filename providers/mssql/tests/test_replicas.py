"""What a server in a group does to a reader: it sends it to a replica, or its cleanup locks a change table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.mssql.tests.harness import InputRun, config_of, read, refusal
from tests.services.mssql.flavours import SECONDARY
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


@pytest.fixture
def replica() -> Iterator[SqlServer]:
    """A readable secondary with a table, whose certificate has a name of its own."""
    with SqlServer(encrypt=True, flavour=SECONDARY, names=("localhost",)) as running:
        shop = running.create_database("shop")
        shop.create_table("Orders", "Id int primary key")
        shop.cdc.enable_table("Orders")
        with shop.transaction() as t:
            t.insert("Orders", Id=1)
        yield running


@pytest.fixture
def listener(replica: SqlServer, tmp_path: Path) -> Iterator[str]:
    """The connection string of a listener that sends readers to the replica."""
    with SqlServer(encrypt=True, names=("127.0.0.1",)) as running:
        running.create_database("shop")
        running.routes_to = ("localhost", replica.port)
        both = tmp_path / "authorities.pem"
        both.write_text(Path(running.authority).read_text() + Path(replica.authority).read_text())
        yield f"{running.connection_string('shop').replace(running.authority, str(both))};ApplicationIntent=ReadOnly"


def test_a_reader_follows_the_listener_to_a_replica_and_checks_the_name_of_that(
    listener: str, replica: SqlServer
) -> None:
    config = {**config_of(replica, "Orders"), "connection_string": listener}
    assert [data["Id"] for _, data in read(config).told] == [1]
    assert replica.seen.logins > 0
    assert replica.seen.clear_logins == 0


def test_a_replica_whose_certificate_has_another_name_is_refused(listener: str, replica: SqlServer) -> None:
    named = f"{listener};HostNameInCertificate=127.0.0.1"
    refused = refusal({**config_of(replica, "Orders"), "connection_string": named})
    assert "certificate" in refused["detail"]
    assert replica.seen.logins == 0


def test_a_locked_change_table_holds_up_no_other_table(server: SqlServer, shop: Database) -> None:
    shop.create_table("Parts", "Id int primary key")
    shop.cdc.enable_table("Parts")
    with shop.cdc.locked("dbo_Orders"):
        run = InputRun(config_of(server, "Orders", "Parts"), until=None)
        for number in (1, 2):
            with shop.transaction() as t:
                t.insert("Orders", Id=number)
                t.insert("Parts", Id=number)
            run.wait_for(lambda one, count=number: len(one.envelopes) == count)
        assert {each["metadata"]["TableName"] for each in run.envelopes} == {"Parts"}
    run.wait_for(lambda one: len(one.envelopes) == 4)
    run.stop()
    orders = [each["data"]["Id"] for each in run.envelopes if each["metadata"]["TableName"] == "Orders"]
    assert orders == [1, 2]
    assert run.ended
