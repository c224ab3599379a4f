"""Errors of the server: one table decides what is repeated, at start-up, while changes flow, and to the present end."""

from __future__ import annotations

from typing import Any

import pytest

from dstream_mssql.error_table import BY_NUMBER, SOURCES, TABLE, Kind, kind_of
from providers.mssql.tests import error_matrix
from providers.mssql.tests.harness import InputRun, ResourceRun, config_of, plan, read, refusal
from tests.events import until
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

REPEATED = sorted(number for number in BY_NUMBER if BY_NUMBER[number].kind in (Kind.LOST, Kind.TRANSIENT))
FAILOVER = (976, 983, 4060, 40197, 40613, 615, 926, 4221)
THROTTLING = (10928, 10929, 40501, 40549, 40553, 49918, 49920)


def insert(shop: Database, *numbers: int) -> None:
    with shop.transaction() as t:
        for number in numbers:
            t.insert("Orders", Id=number)


def ids(run: InputRun) -> list[Any]:
    return [data["Id"] for _, data in run.told]


def test_the_documentation_has_the_table_as_the_code_has_it():
    text = error_matrix.PAGE.read_text("utf-8")
    assert error_matrix.BEGIN in text
    assert error_matrix.page(text) == text, "run python -m providers.mssql.tests.error_matrix"


def test_each_error_has_one_class_and_a_page_of_microsoft():
    numbers = [number for entry in TABLE for number in entry.numbers]
    assert len(numbers) == len(set(numbers))
    assert {entry.source for entry in TABLE} <= SOURCES.keys()
    assert set(FAILOVER) | set(THROTTLING) | {1205} <= set(REPEATED)
    assert {number: BY_NUMBER[number].kind for number in (40615, 47073, 229, 313, 40515)} == {
        40615: Kind.DENIED, 47073: Kind.DENIED, 229: Kind.DENIED, 313: Kind.GAP, 40515: Kind.INVALID,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "kind"), [(16, Kind.FATAL), (17, Kind.TRANSIENT), (19, Kind.TRANSIENT), (20, Kind.LOST)]
)
def test_an_error_that_is_not_in_the_table_is_judged_by_its_severity(severity: int, kind: Kind):
    assert kind_of(99_999, severity) is kind


@pytest.mark.parametrize("number", [1205, 1222, 976, 40613, 4060, 10928, 40501])
@pytest.mark.parametrize("where", ["dbo_Orders_CT", "fn_cdc_get_max_lsn", "sys.databases"])
def test_transient_errors_are_repeated_also_at_start_up_and_to_the_present_end(
    server: SqlServer, shop: Database, where: str, number: int
):
    insert(shop, 1, 2)
    server.fail(where, number, "try again", times=2)
    run = read(config_of(server, "Orders", on_table_error="fail"))
    assert ids(run) == [1, 2]
    assert f"(error {number})" in run.said


@pytest.mark.parametrize("number", FAILOVER)
def test_a_refused_login_after_a_connection_was_lost_is_repeated(server: SqlServer, shop: Database, number: int):
    run = InputRun(config_of(server, "Orders"), until=None)
    insert(shop, 1)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    server.fail_login(number, "not available", times=3)
    server.kill_sessions()
    insert(shop, 2)
    run.wait_for(lambda one: len(one.envelopes) == 2)
    run.stop()
    assert run.ended
    assert ids(run) == [1, 2]


def test_a_start_waits_for_a_database_that_resumes_or_fails_over(server: SqlServer, shop: Database):
    insert(shop, 1)
    server.fail_login(40613, "Database 'shop' on server 'x' is not currently available.", times=2)
    assert ids(read(config_of(server, "Orders"))) == [1]
    server.fail_login(42109, "The database is resuming", times=2)
    assert plan(config_of(server, "Orders"))[-1] == {"status": "done"}


def test_a_database_that_cannot_be_opened_is_denied_at_first_and_waited_for_once_it_was_reached(
    server: SqlServer, shop: Database
):
    insert(shop, 1)
    server.fail_login(4060, "Cannot open database")
    found = refusal(config_of(server, "Orders"))
    assert found["class"] == "denied"
    assert "Check the name of the database" in found["detail"]
    first = read(config_of(server, "Orders"))
    insert(shop, 2)
    server.fail_login(4060, "Cannot open database", times=2)
    assert ids(read(config_of(server, "Orders"), first.checkpoint)) == [2]


def test_a_start_gives_up_after_the_time_that_is_set_with_a_class_that_is_tried_again(
    server: SqlServer, shop: Database
):
    server.fail_login(40613, "not available", times=10_000)
    found = refusal(config_of(server, "Orders", reconnect_timeout="500ms"))
    assert found["class"] == "retriable"
    assert "(error 40613)" in found["detail"]


@pytest.mark.parametrize(
    ("number", "message", "words"),
    [
        (
            40615,
            "Cannot open server 'x' requested by the login. Client with IP address '203.0.113.10' is not allowed.",
            "--start-ip-address 203.0.113.10 --end-ip-address 203.0.113.10",
        ),
        (47073, "Reason: An instance-specific error occurred: Deny Public Network Access is set to Yes.", "127.0.0.1"),
        (40914, "Client is not allowed to access the server.", "virtual network rule for the subnet of 127.0.0.1"),
    ],
)
def test_a_refusal_of_the_firewall_is_denied_and_names_the_address_to_allow(
    server: SqlServer, shop: Database, number: int, message: str, words: str
):
    server.fail_login(number, message, times=2)
    found = refusal(config_of(server, "Orders"))
    assert found["class"] == "denied"
    assert words in found["detail"]
    [answer] = plan(config_of(server, "Orders"))
    assert answer["diagnostics"][0]["class"] == "denied"


def test_an_object_request_reports_what_is_transient_as_such(server: SqlServer, shop: Database):
    session = ResourceRun({"connection_string": server.connection_string("shop")})
    server.fail("sp_cdc_enable_table", 1205, "deadlock", severity=13)
    wanted = {"table": "Orders", "capture_instance": "more"}
    refused = session.ask("init", "mssql_cdc_table", key="o", desired=wanted, intent="i")
    assert refused["diagnostics"][0]["class"] == "retriable"
    assert session.ask("init", "mssql_cdc_table", key="o", desired=wanted, intent="i")["status"] == "ok"
    session.close()


def test_twenty_failovers_in_a_row_while_changes_flow_lose_no_row(server: SqlServer, shop: Database):
    run = InputRun(config_of(server, "Orders", max_batch_rows=3), until=None)
    insert(shop, 0)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    for number in range(20):
        logins = server.seen.logins
        insert(shop, *range(number * 5 + 1, number * 5 + 6))
        if number % 3 == 0:
            server.drop("dbo_Orders_CT", after_rows=2)
        server.fail_login((40613, 976, 4060, 40197)[number % 4], "failover")
        until(lambda: server.seen.open_now, "a connection to break")
        server.kill_sessions()
        until(lambda logins=logins: server.seen.logins >= logins + 2, "a login after the failover")
    run.wait_for(lambda one: len(one.envelopes) >= 101)
    run.stop()
    assert run.ended
    assert ids(run) == list(range(101))
    assert server.seen.logins > 40
