"""What a task needs on the server is planned, made, found again, and taken away; what others enabled is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from providers.mssql.tests.harness import ResourceRun, config_of, plan
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer

DATABASE, TABLE = "mssql_cdc_database", "mssql_cdc_table"


@pytest.fixture
def bare(server: SqlServer) -> Database:
    database = server.create_database("shop", cdc=False)
    database.create_table(
        "Orders", "Id int primary key, Total decimal(10, 2) not null, At datetimeoffset(7), U uniqueidentifier"
    )
    database.create_table("sales.Items", "OrderId int, Line int, primary key (OrderId, Line)")
    return database


@pytest.fixture
def session(server: SqlServer, bare: Database) -> Iterator[ResourceRun]:
    running = ResourceRun({"connection_string": server.connection_string("shop")})
    yield running
    running.close()


def resources(answer: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["resource"]["type"], one["resource"]["key"]) for one in answer if "resource" in one]


def test_a_plan_has_cdc_of_the_database_and_of_each_table_and_streams_with_keys_and_schemas(
    server: SqlServer, bare: Database
):
    answer = plan(config_of(server, "Orders", "sales.Items", retention="2d", role_name="readers"))
    assert resources(answer) == [(DATABASE, "shop"), (TABLE, "Orders"), (TABLE, "sales.Items")]
    database, orders, _ = (one["resource"] for one in answer if "resource" in one)
    assert database["attributes"] == {"database": "shop", "retention_minutes": 2880}
    assert orders["attributes"] == {"table": "dbo.Orders", "capture_instance": "dbo_Orders", "role_name": "readers"}
    assert orders["depends_on"] == [[DATABASE, "shop"]]
    streams = {one["stream"]["name"]: one["stream"] for one in answer if "stream" in one}
    assert streams["sales.Items"]["key"] == ["OrderId", "Line"]
    properties = streams["Orders"]["schema"]["properties"]
    assert properties["Id"] == {"type": "integer", "x-sql-type": "int"}
    assert properties["At"] == {"type": ["string", "null"], "format": "date-time", "x-sql-type": "datetimeoffset"}
    assert answer[-1] == {"status": "done"}


def test_cdc_that_others_enabled_stays_out_of_the_plan(server: SqlServer, bare: Database):
    bare.cdc.enable()
    bare.cdc.enable_table("Orders", instance="by_the_dba")
    assert resources(plan(config_of(server, "Orders", "sales.Items"))) == [(TABLE, "sales.Items")]
    assert resources(plan(config_of(server, "Orders", manage=False))) == []


def test_a_plan_without_the_server_names_the_tables_alone(bare: Database, server: SqlServer):
    config = {"connection_string": "Server=nowhere.invalid;Database=shop;UID=a;PWD=b", "tables": ["Orders"]}
    answer = plan({**config, "discover": False})
    assert resources(answer) == [(DATABASE, "shop"), (TABLE, "Orders")]
    assert [one["stream"] for one in answer if "stream" in one] == [{"name": "Orders", "key": []}]
    [refused] = plan({**config, "discover": False, "tables": ["*"]})
    assert "patterns" in refused["diagnostics"][0]["detail"]
    [away] = plan(config)
    assert away["status"] == "error"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tables": ["Nowhere"]}, "no table dbo.Nowhere"),
        ({"tables": ["a.b.c"]}, "not a table name"),
        ({"keys": {"Orders": ["Nope"]}}, "no column Nope"),
        ({"keys": {"Other": ["Id"]}}, "not in `tables`"),
        ({"poll_interval": "5"}, "not a duration"),
        ({"poll_interval": "1m", "max_poll_interval": "5s"}, "shorter"),
        ({"connection_string": "Server=x;Database=y;Color=red"}, "'Color' is not a supported key"),
        ({"max_connections": 1}, "at least 2"),
    ],
)
def test_a_wrong_setting_is_named(server: SqlServer, bare: Database, change: dict[str, Any], words: str):
    [answer] = plan({**config_of(server, "Orders"), **change})
    assert words in answer["diagnostics"][0]["detail"]


def test_cdc_is_enabled_found_by_its_intent_changed_and_disabled(session: ResourceRun, bare: Database):
    made = session.ask(
        "init", DATABASE, key="shop", desired={"database": "shop", "retention_minutes": 60}, intent="i-1"
    )
    assert made["status"] == "ok", made
    assert bare.cdc.enabled
    assert bare.cdc.retention == 4320, "there is no job yet that could have another"
    assert made["attributes"]["retention_minutes"] == 60
    assert session.ask("find", DATABASE, intent="i-1")["identity"] == {"database": "shop"}
    assert session.ask("find", DATABASE, intent="another")["status"] == "gone"
    wanted = {"table": "Orders", "capture_instance": "dbo_Orders"}
    table = session.ask("init", TABLE, key="Orders", desired=wanted, intent="i-2")
    assert table["status"] == "ok", table
    assert bare.cdc.retention == 60
    assert table["attributes"]["table"] == "Orders", "the spelling of the configuration stays"
    assert session.ask("find", TABLE, intent="i-2")["identity"] == {"capture_instance": "dbo_Orders"}
    again = session.ask("init", TABLE, key="Orders", desired=wanted, intent="i-2")
    assert again["status"] == "ok", "the same intent again is the same object"
    assert (
        session.ask("init", TABLE, key="Orders", desired=wanted, intent="i-3")["diagnostics"][0]["class"] == "conflict"
    )
    changed = session.ask(
        "init", DATABASE, key="shop", identity={"database": "shop"}, prior=made["attributes"],
        desired={"database": "shop", "retention_minutes": 90},
    )  # fmt: skip
    assert changed["attributes"]["retention_minutes"] == 90
    in_use = session.ask("destroy", DATABASE, identity={"database": "shop"}, prior=made["attributes"])
    assert in_use["diagnostics"][0]["class"] == "conflict"
    assert "dbo_Orders" in in_use["diagnostics"][0]["detail"]
    gone = session.ask("destroy", TABLE, identity={"capture_instance": "dbo_Orders"}, prior=table["attributes"])
    assert gone["status"] == "ok"
    assert session.ask("status", TABLE, identity={"capture_instance": "dbo_Orders"})["status"] == "gone"
    assert session.ask("destroy", DATABASE, identity={"database": "shop"}, prior=made["attributes"])["status"] == "ok"
    assert not bare.cdc.enabled
    assert bare.properties == {}


def test_some_columns_and_a_gating_role(session: ResourceRun, bare: Database):
    bare.cdc.enable()
    wanted = {"table": "Orders", "capture_instance": "few", "columns": ["Id", "Total"], "role_name": "readers"}
    made = session.ask("init", TABLE, key="o", desired=wanted, intent="i")
    assert made["attributes"]["columns"] == ["Id", "Total"]
    assert bare.cdc.instances["few"].role == "readers"
    assert [column.name for column in bare.cdc.instances["few"].columns] == ["Id", "Total"]


def test_a_login_that_may_not_enable_cdc_is_told_who_may_and_leaves_nothing_behind(server: SqlServer, bare: Database):
    server.logins["owner"] = Login("owner", "Owner-1", db_owner=True)
    session = ResourceRun({"connection_string": server.connection_string("shop", "owner")})
    refused = session.ask("init", DATABASE, key="shop", desired={"database": "shop"}, intent="i")
    assert refused["diagnostics"][0]["class"] == "denied"
    assert "sysadmin" in refused["diagnostics"][0]["detail"]
    assert bare.properties == {}
    bare.cdc.enable()
    assert (
        session.ask("init", TABLE, key="o", desired={"table": "Orders", "capture_instance": "c"}, intent="i")["status"]
        == "ok"
    )
    session.close()


def test_a_third_capture_instance_of_a_table_is_refused(session: ResourceRun, bare: Database):
    bare.cdc.enable()
    for name in ("one", "two"):
        assert (
            session.ask("init", TABLE, key=name, desired={"table": "Orders", "capture_instance": name})["status"]
            == "ok"
        )
    third = session.ask("init", TABLE, key="three", desired={"table": "Orders", "capture_instance": "three"})
    assert "at most two" in third["diagnostics"][0]["detail"]
    assert ("dbo", "Orders", "dstream_cdc:three") not in bare.properties
