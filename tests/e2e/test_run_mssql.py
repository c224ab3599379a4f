"""SQL Server (a stand-in that speaks TDS) into JSON Lines, typed as a user would type it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, children, dstream, environment, example
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


KILLED = """
task "copy" {
  input {
    provider = "mssql"
    config {
      connection_string   = env("DATABASE_CONNECTION_STRING")
      tables              = ["Orders", "sales.Items"]
      snapshot            = "initial"
      poll_interval       = "20ms"
      max_poll_interval   = "100ms"
      checkpoint_interval = "20ms"
      max_batch_rows      = 25
    }
  }
  output {
    provider = "jsonl"
    config { path = "changes.jsonl" }
  }
}
"""


class Writer(threading.Thread):
    """Changes the shop's rows at random until it is told to stop."""

    def __init__(self, shop: Database, seed: int) -> None:
        super().__init__(daemon=True)
        self._shop, self._random, self._halt = shop, random.Random(seed), threading.Event()

    def run(self) -> None:
        choose, number = self._random, 1000
        while not self._halt.is_set():
            with self._shop.transaction() as t:
                for _ in range(choose.randint(1, 4)):
                    number += 1
                    what = choose.random()
                    if what < 0.5:
                        t.update("Orders", {"Id": choose.randint(1, 300)}, Total=f"{choose.random() * 1000:.2f}")
                    elif what < 0.65:
                        t.delete("Orders", Id=choose.randint(1, 300))
                    elif what < 0.8:
                        t.insert("Orders", Id=number, Total="1.00")
                    else:
                        t.insert("sales.Items", OrderId=number, Line=1, Sku=f"sku {number}")
            time.sleep(0.004)

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


def replayed(path: Path) -> dict[str, dict[str, dict]]:
    """The tables that the lines of a file lead to, each applied in turn, repeats included."""
    tables: dict[str, dict[str, dict]] = {}
    for one in envelopes(path):
        rows = tables.setdefault(one["metadata"]["TableName"], {})
        operation = one["metadata"]["OperationType"]
        if operation == "Truncate":
            rows.clear()
        elif operation == "Delete":
            rows.pop(str(one["metadata"]["Key"]), None)
        else:
            rows[str(one["metadata"]["Key"])] = one["data"]
    return tables


@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the providers' processes in /proc")
def test_any_of_the_three_processes_is_killed_at_random_and_no_change_is_lost(
    server: SqlServer, shop: Database, tmp_path: Path
):
    (tmp_path / "dstream.hcl").write_text(KILLED)
    env = {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
    with shop.transaction() as t:
        t.insert_rows("Orders", [(number, f"{number}.00") for number in range(1, 301)])
    applied = dstream(tmp_path, "apply", "-auto-approve", env=env)
    assert applied.code == 0, applied.said
    choose = random.Random(5)
    writer = Writer(shop, seed=5)
    writer.start()
    killed = 0
    try:
        while killed < 5:
            with (tmp_path / "log").open("ab") as log:
                host = subprocess.Popen(
                    [PROGRAMS / "dstream", "run", "copy"],
                    cwd=tmp_path,
                    env=environment(env),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            for _ in range(choose.randint(1, 2)):
                while len(providers := children(host.pid)) < 2 and host.poll() is None:
                    time.sleep(0.05)
                time.sleep(choose.uniform(0.2, 1.5))
                server.kill_sessions()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(choose.choice(providers or [host.pid]), signal.SIGKILL)
                    killed += 1
            time.sleep(choose.uniform(0.0, 1.0))
            host.kill()
            host.wait(30)
    finally:
        writer.stop()
    last = dstream(tmp_path, "run", "copy", "--until-idle", env=env)
    assert last.code == 0, last.said + (tmp_path / "log").read_text()
    found = replayed(tmp_path / "changes.jsonl")
    orders = {str({"Id": row[0]}): float(row[1]) for row in shop.read(shop.table("Orders"))}
    assert {key: row["Total"] for key, row in found["Orders"].items()} == orders
    items = {str({"OrderId": row[0], "Line": row[1]}): row[2] for row in shop.read(shop.table("sales.Items"))}
    assert {key: row["Sku"] for key, row in found["sales.Items"].items()} == items
