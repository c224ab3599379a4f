"""The same output behind the PostgreSQL input: a queue for each table, and every change in it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from providers.servicebus.tests.conftest import Folder

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

CONFIGURATION = """
task "NAME" {
  input {
    provider = "postgres"
    config {
      connection_string = env("DATABASE_URL")
      tables            = ["public.orders", "sales.items"]
      snapshot          = "initial"
    }
  }
  output {
    provider = "asb"
    config {
      connection_string = env("ASB_CONNECTION")
      ordering          = "session"
    }
  }
}
"""


def test_rows_and_changes_of_postgres_arrive_in_their_queues(folder: Folder, postgres: Any) -> None:
    name = "shop_" + uuid.uuid4().hex[:8]
    folder.environment["DATABASE_URL"] = postgres.create_database(name)

    def sql(text: str) -> None:
        postgres.execute(text, dbname=name)

    sql("CREATE TABLE orders (id int PRIMARY KEY, total numeric(10, 2)); CREATE SCHEMA sales")
    sql("CREATE TABLE sales.items (id int PRIMARY KEY, what text); INSERT INTO orders VALUES (1, 1.10), (2, 2.20)")
    folder.path.joinpath("dstream.hcl").write_text(CONFIGURATION.replace("NAME", name))
    folder.apply()
    assert folder.bus.queues == ["items_cdc_events", "orders_cdc_events"]
    run(folder, name)
    sql("UPDATE orders SET total = 3.30 WHERE id = 1; DELETE FROM orders WHERE id = 2")
    sql("INSERT INTO sales.items VALUES (5, 'é')")
    run(folder, name)
    stored = folder.bus.store("orders_cdc_events").history
    rows: dict[int, list[str]] = {}
    for each in stored:
        assert each.session_id is not None
        envelope = each.json()
        rows.setdefault(envelope["data"]["id"], []).append(envelope["metadata"]["OperationType"])
    assert rows == {1: ["Read", "Update"], 2: ["Read", "Delete"]}
    assert any(b"3.30" in each.body for each in stored)
    (item,) = folder.bodies("items_cdc_events")
    assert item["data"] == {"id": 5, "what": "é"}
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert folder.bus.queues == []


def run(folder: Folder, task: str) -> None:
    ran = folder.dstream("run", task, "-until-idle")
    assert ran.code == 0, ran.said
