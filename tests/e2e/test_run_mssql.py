"""SQL Server (a stand-in that speaks TDS) into JSON Lines, typed as a user would type it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import dstream, example
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

CONFIGURATION = """
task "orders-to-file" {
  input {
    provider = "mssql"
    config {
      db_connection_string = env("DATABASE_CONNECTION_STRING")
      tables               = ["Orders", "sales.Items"]
      poll_interval        = "50ms"
    }
  }
  output {
    provider = "jsonl"
    config { path = "changes/{table}.jsonl" }
  }
}
"""


@pytest.fixture
def server() -> Iterator[SqlServer]:
    with SqlServer() as running:
        yield running


@pytest.fixture
def shop(server: SqlServer) -> Database:
    database = server.create_database("shop", cdc=False)
    database.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
    database.create_table("sales.Items", "OrderId int, Line int, Sku varchar(20), primary key (OrderId, Line)")
    return database


def envelopes(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_plan_shows_change_data_capture_apply_enables_it_run_delivers_and_destroy_disables_it(
    server: SqlServer, shop: Database, tmp_path: Path
):
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION)
    env = {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
    planned = dstream(tmp_path, "plan", "-detailed-exitcode", env=env)
    assert planned.code == 2, planned.said
    for kind in ("mssql_cdc_database", "mssql_cdc_table"):
        assert kind in planned.out
    assert not shop.cdc.enabled
    applied = dstream(tmp_path, "apply", "-auto-approve", env=env)
    assert applied.code == 0, applied.said
    assert sorted(one.name for one in shop.cdc.instances.values()) == ["dbo_Orders", "sales_Items"]
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env=env).code == 0
    with shop.transaction() as t:
        t.insert("Orders", Id=1, Total="9.90")
        t.insert("sales.Items", OrderId=1, Line=1, Sku="abc")
        t.insert("sales.Items", OrderId=1, Line=2, Sku="def")
    ran = dstream(tmp_path, "run", "orders-to-file", "--until-idle", env=env)
    assert ran.code == 0, ran.said
    with shop.transaction() as t:
        t.delete("sales.Items", OrderId=1, Line=2)
    assert dstream(tmp_path, "run", "orders-to-file", "--until-idle", env=env).code == 0
    assert [one["data"] for one in envelopes(tmp_path / "changes" / "Orders.jsonl")] == [{"Id": 1, "Total": 9.9}]
    items = envelopes(tmp_path / "changes" / "sales.Items.jsonl")
    assert [(one["metadata"]["OperationType"], one["metadata"]["Key"]["Line"]) for one in items] == [
        ("Insert", 1),
        ("Insert", 2),
        ("Delete", 2),
    ]
    destroyed = dstream(tmp_path, "destroy", "-auto-approve", "-allow-data-loss", env=env)
    assert destroyed.code == 0, destroyed.said
    assert not shop.cdc.enabled
    assert shop.properties == {}


def test_the_example_mssql_to_console_goes_from_plan_to_destroy_as_written(server: SqlServer, tmp_path: Path):
    database = server.create_database("shop", cdc=False)
    for table in ("Orders", "Customers", "Products", "Secrets"):
        database.create_table(table, "Id int primary key, Name nvarchar(20)")
    folder = example("mssql-to-console", tmp_path)
    env = {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
    assert dstream(folder, "lint", env=env).code == 0
    planned = dstream(folder, "plan", "-detailed-exitcode", env=env)
    assert planned.code == 2, planned.said
    assert "Secret-1" not in planned.said
    assert dstream(folder, "apply", "-auto-approve", env=env).code == 0
    assert sorted(database.cdc.instances) == ["dbo_customers", "dbo_orders", "dbo_products"]
    with database.transaction() as t:
        for number, table in enumerate(("Orders", "Customers", "Products", "Secrets")):
            t.insert(table, Id=number, Name=f"in {table}")
    ran = dstream(folder, "run", "mssql-to-console", "--until-idle", env=env)
    assert ran.code == 0, ran.said
    shown = sorted(line for line in ran.said.splitlines() if " Insert  {" in line)
    assert shown == [
        'Customers Insert  {"Id": 1, "Name": "in Customers"}',
        'Orders Insert  {"Id": 0, "Name": "in Orders"}',
        'Products Insert  {"Id": 2, "Name": "in Products"}',
    ]
    # A table more in the one list is one capture instance more, and nothing else.
    path = folder / "dstream.hcl"
    path.write_text(path.read_text().replace('"Products"]', '"Products", "Secrets"]'))
    more = dstream(folder, "plan", env=env)
    assert "dbo_Secrets" in more.out
    assert "1 to add, 0 to change, 0 to destroy" in more.out, more.out
    destroyed = dstream(folder, "destroy", "-auto-approve", "-allow-data-loss", env=env)
    assert destroyed.code == 0, destroyed.said
    assert not database.cdc.enabled


def test_what_an_administrator_enabled_is_used_and_left_alone_by_destroy(server: SqlServer, tmp_path: Path):
    database = server.create_database("shop")
    for table in ("Orders", "Customers", "Products"):
        database.create_table(table, "Id int primary key")
    database.cdc.enable_table("Orders")
    folder = example("mssql-to-console", tmp_path)
    env = {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
    assert dstream(folder, "apply", "-auto-approve", env=env).code == 0
    assert sorted(database.cdc.instances) == ["dbo_customers", "dbo_orders", "dbo_products"]
    assert dstream(folder, "plan", "-detailed-exitcode", env=env).code == 0
    destroyed = dstream(folder, "destroy", "-auto-approve", "-allow-data-loss", env=env)
    assert destroyed.code == 0, destroyed.said
    assert sorted(database.cdc.instances) == ["dbo_orders"]
    assert database.cdc.enabled
