"""ALTER TABLE of a captured table while `dstream run` goes, from drift to the removal of what is needed no longer."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PROGRAMS, Ended, dstream, environment
from tests.events import until
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

CONFIGURATION = """
task "copy" {
  input {
    provider = "mssql"
    config {
      connection_string = env("DATABASE_CONNECTION_STRING")
      tables            = ["Orders", "Items"]
      poll_interval     = "50ms"
      max_poll_interval = "200ms"
    }
  }
  output {
    provider = "jsonl"
    config { path = "changes.jsonl" }
  }
}
"""
FIRST, SECOND = (f'task.copy.input.mssql_cdc_table["{key}"]' for key in ("Orders", "Orders/2"))


class Writer(threading.Thread):
    """Inserts orders, one after the other, with a note as soon as there is a column for it."""

    def __init__(self, shop: Database) -> None:
        super().__init__(daemon=True)
        self._shop, self._halt = shop, threading.Event()
        self.notes: dict[int, str | None] = {}
        self.places: dict[int, int] = {}

    def run(self) -> None:
        while not self._halt.is_set():
            self.write()
            time.sleep(0.005)

    def write(self) -> None:
        number = len(self.notes) + 1
        with self._shop.lock:
            known = any(column.name == "Note" for column in self._shop.table("Orders").columns)
            note = f"note {number}" if known else None
            with self._shop.transaction() as t:
                t.insert("Orders", Id=number, Total="1.50", **({"Note": note} if known else {}))
                t.insert("Items", Id=number)
            self.places[number] = self._shop.log[-1].commit_lsn
            self.notes[number] = note

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


class Typed:
    """Commands in the task's folder, and what has arrived."""

    def __init__(self, folder: Path, server: SqlServer) -> None:
        self.folder, self.env = folder, {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
        (folder / "dstream.hcl").write_text(CONFIGURATION)

    def dstream(self, *arguments: str) -> Ended:
        return dstream(self.folder, *arguments, env=self.env)

    def good(self, *arguments: str) -> Ended:
        ended = self.dstream(*arguments)
        assert ended.code == 0, ended.said
        return ended

    def changes(self) -> list[dict[str, Any]]:
        """What the last plan in JSON does."""
        planned = json.loads(self.dstream("plan", "-json").out)
        return [one for one in planned["resource_changes"] if one["change"]["actions"] != ["no-op"]]

    def arrived(self, table: str = "Orders") -> list[dict[str, Any]]:
        path = self.folder / "changes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one for one in map(json.loads, lines) if one["metadata"]["TableName"] == table]

    def until(self, condition: Callable[[], object], what: str) -> None:
        until(condition, lambda: f"{what}; the log:\n{(self.folder / 'log').read_text()}")


@pytest.fixture
def server() -> Iterator[SqlServer]:
    with SqlServer() as running:
        yield running


def test_a_column_is_added_while_the_task_runs_and_no_change_is_lost(server: SqlServer, tmp_path: Path) -> None:
    shop = server.create_database("shop", cdc=False)
    shop.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
    shop.create_table("Items", "Id int primary key")
    typed, writer = Typed(tmp_path, server), Writer(shop)
    typed.good("apply", "-auto-approve")
    with (tmp_path / "log").open("w") as log:
        runner = subprocess.Popen(
            [PROGRAMS / "dstream", "run", "copy"],
            cwd=tmp_path,
            env=environment(typed.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        writer.start()
        typed.until(lambda: len(typed.arrived()) > 20, "changes arrive")
        with shop.lock:
            shop.add_column("Orders", "Note nvarchar(100)")
        typed.until(lambda: "does not capture the column Note" in (tmp_path / "log").read_text(), "run warns")

        drift = typed.dstream("drift")
        assert drift.code == 2, drift.said
        assert "uncaptured_columns" in drift.out and '"Note"' in drift.out, drift.out
        assert f"pending: + {SECOND}" in drift.out
        planned = typed.dstream("plan", "-detailed-exitcode")
        assert planned.code == 2
        assert "1 to add, 0 to change, 0 to destroy" in planned.out, planned.out
        assert "the capture instance dbo_Orders does not capture the column Note" in " ".join(planned.said.split())
        [made] = typed.changes()
        assert (made["address"], made["change"]["actions"]) == (SECOND, ["create"])

        typed.good("apply", "-auto-approve")
        begins = shop.cdc.instances["dbo_orders_2"].start_lsn
        assert begins is not None
        typed.until(lambda: any(one["data"].get("Note") for one in typed.arrived()), "notes arrive")
        assert typed.dstream("plan", "-detailed-exitcode").code == 0
        assert typed.dstream("drift").code == 0

        writer.stop()
        typed.until(lambda: len(typed.arrived()) == len(writer.notes), "all arrives")
        server.clock.travel(days=4)
        writer.write()
        for table in ("Orders", "Items"):
            typed.until(lambda table=table: len(typed.arrived(table)) == len(writer.notes), "the task went on")  # type: ignore[misc]  # bound now
        shop.cdc.cleanup()
        [gone] = typed.changes()
        assert (gone["address"], gone["change"]["actions"], gone["loses_data"]) == (FIRST, ["delete"], False)
        assert gone["action_reason"] == "released_by_task"
        saved = typed.good("plan", "-out=later.plan")
        assert "no data is lost" in saved.out and "destroys data" not in saved.out, saved.out
        typed.good("apply", "later.plan")
        assert sorted(shop.cdc.instances) == ["dbo_items", "dbo_orders_2"]
        assert typed.dstream("plan", "-detailed-exitcode").code == 0
        writer.write()
        typed.until(lambda: len(typed.arrived("Items")) == len(writer.notes), "all arrives afterwards")
        typed.until(lambda: len(typed.arrived()) == len(writer.notes), "all arrives afterwards")
        assert runner.poll() is None, "the task ran all the while"
    finally:
        writer.stop()
        runner.terminate()
        runner.wait(60)
    for table in ("Orders", "Items"):
        assert [one["data"]["Id"] for one in typed.arrived(table)] == list(writer.notes), table
    notes = {one["data"]["Id"]: one["data"].get("Note") for one in typed.arrived()}
    expected = {number: note if writer.places[number] > begins else None for number, note in writer.notes.items()}
    assert notes == expected
    typed.good("destroy", "-auto-approve", "-allow-data-loss")
    assert not shop.cdc.enabled and shop.properties == {}


def test_a_run_that_begins_after_the_apply_reads_the_first_to_its_end_and_then_the_second(
    server: SqlServer, tmp_path: Path
) -> None:
    shop = server.create_database("shop", cdc=False)
    shop.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
    shop.create_table("Items", "Id int primary key")
    typed, writer = Typed(tmp_path, server), Writer(shop)
    typed.good("apply", "-auto-approve")
    writer.write()
    typed.good("run", "copy", "--until-idle")
    writer.write()
    shop.add_column("Orders", "Note nvarchar(100)")
    writer.write()
    typed.good("apply", "-auto-approve")
    writer.write()
    typed.good("run", "copy", "--until-idle")
    writer.write()
    typed.good("run", "copy", "--until-idle")
    found = [(one["data"]["Id"], one["data"].get("Note", "absent")) for one in typed.arrived()]
    assert found == [(1, "absent"), (2, "absent"), (3, "absent"), (4, "note 4"), (5, "note 5")]
