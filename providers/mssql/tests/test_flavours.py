"""Each flavour of SQL Server: what it refuses is not asked of it, and what it has instead is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from providers.mssql.tests.harness import InputRun, ResourceRun, config_of, plan, read
from tests.services.mssql.flavours import AZURE, BOX, FLAVOURS, MANAGED, Flavour
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer

DATABASE, TABLE = "mssql_cdc_database", "mssql_cdc_table"
WRITABLE = [one for one in FLAVOURS if not one.read_only]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[SqlServer]:
    with SqlServer(flavour=request.param) as running:
        yield running


def flavours(chosen: list[Flavour]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", chosen, indirect=True, ids=lambda one: one.name)


def change(shop: Database, number: int) -> None:
    with shop.transaction() as t:
        t.insert("Orders", Id=number, Name="a")
        t.update("Orders", {"Id": number}, Name="b")


def instance(answer: dict[str, Any]) -> Any:
    assert answer["status"] == "ok", answer
    return answer["attributes"]


@flavours(list(FLAVOURS))
def test_rows_and_changes_arrive_and_every_safety_check_is_answered(server: SqlServer, shop: Database):
    change(shop, 1)
    first = read(config_of(server, "Orders", snapshot="initial"))
    assert first.told == [("Read", {"Id": 1, "Name": "b", "Total": None})]
    change(shop, 2)
    server.clock.travel(hours=1)
    run = InputRun(config_of(server, "Orders", agent_timeout="15m"), first.checkpoint, until=None)
    run.wait_for(lambda one: len(one.envelopes) == 2)
    run.wait_for(lambda one: any("cdc_jobs" in text for text in server.seen.statements))
    run.stop()
    assert run.ended
    assert [operation for operation, _ in run.told] == ["Insert", "Update"]
    assert "no safety check" not in run.said
    if server.flavour.read_only:
        assert "read-only replica" in first.said
        assert not any("TABLOCK" in text for text in server.seen.statements)


@flavours(WRITABLE)
@pytest.mark.parametrize("sysadmin", [True, False])
def test_change_data_capture_is_made_with_a_retention_changed_and_removed(
    server: SqlServer, shop: Database, sysadmin: bool
):
    shop.cdc.disable()
    server.logins["owner"] = Login("owner", "Owner-1", db_owner=True, sysadmin=sysadmin)
    session = ResourceRun({"connection_string": server.connection_string("shop", "owner")})
    wanted = {"database": "shop", "retention_minutes": 60}
    answer = session.ask("init", DATABASE, key="shop", desired=wanted, intent="i-1")
    if not (sysadmin or server.flavour is AZURE):
        assert answer["diagnostics"][0]["class"] == "denied"
        session.close()
        return
    made = instance(answer)
    capture = {"table": "Orders", "capture_instance": "dbo_Orders"}
    table = instance(session.ask("init", TABLE, key="Orders", desired=capture, intent="i-2"))
    assert shop.cdc.retention == 60
    named = {"identity": {"database": "shop"}}
    assert instance(session.ask("status", DATABASE, **named, prior=made))["retention_minutes"] == 60
    changed = session.ask(
        "init", DATABASE, key="shop", **named, prior=made, desired={**wanted, "retention_minutes": 90}
    )
    assert instance(changed)["retention_minutes"] == shop.cdc.retention == 90
    gone = session.ask("destroy", TABLE, identity={"capture_instance": "dbo_Orders"}, prior=table)
    assert gone["status"] == "ok"
    assert session.ask("destroy", DATABASE, **named, prior=made)["status"] == "ok"
    session.close()
    assert not shop.cdc.enabled
    assert shop.properties == {}


@flavours([BOX, AZURE])
def test_an_apply_that_fails_half_way_says_what_exists(server: SqlServer, shop: Database):
    shop.cdc.disable()
    session = ResourceRun({"connection_string": server.connection_string("shop")})
    wanted = {"database": "shop", "retention_minutes": 60}
    server.fail("cdc_jobs", 8152, "String or binary data would be truncated")
    half = session.ask("init", DATABASE, key="shop", desired=wanted, intent="i-1")
    assert half["status"] == "error"
    assert half["identity"] == {"database": "shop"}
    assert shop.cdc.enabled
    again = session.ask("init", DATABASE, key="shop", desired=wanted, intent="i-1")
    assert instance(again) == {"database": "shop", "retention_minutes": 60}
    server.fail("sp_cdc_change_job", 22994, "The retention value is wrong")
    capture = {"table": "Orders", "capture_instance": "dbo_Orders"}
    half = session.ask("init", TABLE, key="Orders", desired=capture, intent="i-2")
    assert half["status"] == "error"
    assert half["identity"] == {"capture_instance": "dbo_Orders"}
    instance(session.ask("init", TABLE, key="Orders", desired=capture, intent="i-2"))
    assert shop.cdc.retention == 60
    session.close()


@flavours([one for one in FLAVOURS if one.read_only])
def test_a_replica_that_is_only_read_enables_nothing_and_says_where_to(server: SqlServer, shop: Database):
    session = ResourceRun({"connection_string": server.connection_string("shop")})
    capture = {"table": "Orders", "capture_instance": "another"}
    [refused] = session.ask("init", TABLE, key="Orders", desired=capture, intent="i")["diagnostics"]
    session.close()
    assert refused["class"] == "invalid"
    assert "primary replica" in refused["detail"]
    assert plan(config_of(server, "Orders"))[-1] == {"status": "done"}
    blunt = server.connection_string("shop").replace(";ApplicationIntent=ReadOnly", "")
    [answer] = plan({"connection_string": blunt, "tables": ["Orders"]})
    assert answer["diagnostics"][0]["class"] == "denied"
    assert "ApplicationIntent=ReadOnly" in answer["diagnostics"][0]["detail"]


def check(server: SqlServer, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dstream_mssql.check", *arguments],
        env={**os.environ, "DATABASE_CONNECTION_STRING": server.connection_string("shop")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed " not in done.stdout
    return done.stdout


def shapes(server: SqlServer) -> set[str]:
    """What was sent, without the names of tables, capture instances and columns."""
    found = set()
    for text in server.seen.statements:
        text = re.sub(r"page\.\[\w+\](?! *,? *page\.\[__)", "column", text)
        text = re.sub(r"\[(dbo|cdc)\]\.\[(\w+?)(_CT)?\]", r"[\1].[name\3]", text)
        text = re.sub(r"CAST\(.*?\) AS \[\w+\]|\[\w+\] AS \[\w+\]|column AS \[\w+\]", "column", text)
        text = re.sub(r"(column, )+column|ORDER BY page.*", "columns", text)
        found.add(re.sub(r"(SELECT) columns?", r"\1 columns", text).partition(" AS page ORDER BY")[0])
    return found


@flavours(list(FLAVOURS))
def test_the_check_runs_every_statement_that_plan_apply_and_run_send(server: SqlServer, shop: Database):
    shop.create_table("Other", "Id int primary key, Name nvarchar(20)")
    writable = not server.flavour.read_only
    change(shop, 1)
    config = config_of(server, "Orders", snapshot="initial")
    plan(config)
    first = read(config)
    change(shop, 2)
    read({**config, "max_batch_rows": 1}, first.checkpoint)
    if writable:
        session = ResourceRun({"connection_string": server.connection_string("shop")})
        capture = {"table": "Other", "capture_instance": "dbo_Other"}
        made = instance(session.ask("init", TABLE, key="o", desired=capture, intent="i"))
        session.ask("find", TABLE, intent="i")
        session.ask("destroy", TABLE, identity={"capture_instance": "dbo_Other"}, prior=made)
        session.close()
    ours = shapes(server)
    server.seen.statements.clear()
    said = check(server, *([] if writable else ["--read-only"]))
    assert ours - shapes(server) == set()
    assert ("Azure SQL Database" if server.flavour is AZURE else "EngineEdition") in said
    if writable:
        shop.cdc.disable()
        check(server)
        assert shop.properties == {}
        assert not shop.cdc.enabled


@flavours([MANAGED])
def test_before_the_updates_that_brought_commands_changes_are_read_by_the_function(server: SqlServer, shop: Database):
    shop.cdc.command_ids = False
    change(shop, 1)
    assert [operation for operation, _ in read(config_of(server, "Orders")).told] == ["Insert", "Update"]
    assert "by the function" in check(server, "--read-only")
