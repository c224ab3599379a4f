"""No lost change: the input is killed at every fault point and at random, and a target ends up equal to the source."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

import pytest

from providers.mssql.tests.harness import InputRun, config_of
from tests.services.mssql.model import Database, SqlError
from tests.services.mssql.server import SqlServer


class Target:
    """What a host would have delivered and stored: the envelopes up to the last checkpoint, and that checkpoint.

    At least once: what came after the checkpoint of a killed session was delivered too, and comes again.
    """

    def __init__(self) -> None:
        self.checkpoint: dict[str, Any] | None = None
        self.tables: dict[str, dict[str, Any]] = {}
        self.versions: dict[tuple[str, str], list[str]] = {}
        self.positions: list[str] = []

    def take(self, run: InputRun) -> None:
        self.checkpoint = run.checkpoint
        for one in run.envelopes:
            metadata, data = one["metadata"], one["data"]
            rows = self.tables.setdefault(metadata["TableName"], {})
            operation = metadata["OperationType"]
            if operation == "Truncate":
                rows.clear()
                continue
            key = str(metadata["Key"])
            self.positions.append(metadata["Position"])
            self.versions.setdefault((metadata["TableName"], key), []).append(metadata["Position"])
            if operation == "Delete":
                rows.pop(key, None)
            else:
                rows[key] = data


class Writer(threading.Thread):
    """Changes rows at random until it is told to stop."""

    def __init__(self, shop: Database, seed: int) -> None:
        super().__init__(daemon=True)
        self._shop, self._random, self._halt = shop, random.Random(seed), threading.Event()

    def run(self) -> None:
        choose = self._random
        while not self._halt.is_set():
            with contextlib.suppress(SqlError), self._shop.transaction() as t:  # a key that exists already
                for _ in range(choose.randint(1, 5)):
                    table = choose.choice(("Orders", "Items"))
                    key, what = choose.randint(1, 120), choose.random()
                    if what < 0.4:
                        t.update(table, {"Id": key}, Name=f"v{choose.randint(0, 10**6)}")
                    elif what < 0.5:
                        t.delete(table, Id=key)
                    elif what < 0.55:
                        t.update(table, {"Id": key}, Id=choose.randint(121, 10**6))
                    else:
                        t.insert(table, Id=choose.randint(1, 10**6), Name="new")
            time.sleep(0.003)

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


@pytest.fixture
def busy(server: SqlServer, shop: Database) -> Database:
    shop.create_table("Items", "Id int primary key, Name nvarchar(50)")
    shop.cdc.enable_table("Items")
    with shop.transaction() as t:
        for table in ("Orders", "Items"):
            for number in range(1, 121):
                t.insert(table, Id=number, Name="old")
    return shop


def finish(server: SqlServer, shop: Database, target: Target, config: dict[str, Any]) -> None:
    """Sessions without a kill until one comes to the end; then the target is what the source is."""
    for _ in range(3):
        run = InputRun(config, target.checkpoint).finish()
        target.take(run)
        if run.ended:
            break
    else:
        raise AssertionError(run.said)
    for name in ("Orders", "Items"):
        table = shop.table(name)
        wanted = {str({"Id": row[0]}): row[1] for row in shop.read(table)}
        assert {key: row["Name"] for key, row in target.tables[name].items()} == wanted


def assert_order(target: Target) -> None:
    """Positions of a key rise, but for repeats of what a killed session had delivered already."""
    for positions in target.versions.values():
        seen: set[str] = set()
        highest = ""
        for position in positions:
            if position not in seen and "/0/0000" not in position:
                assert position > highest, positions
                highest = position
            seen.add(position)


@pytest.mark.parametrize(
    "fault", ["mid_page", "mid_page:3", "mid_line", "mid_line:4", "mid_snapshot", "mid_snapshot:2"]
)
@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_killed_at_a_fault_point_again_and_again_nothing_is_lost(
    server: SqlServer, busy: Database, fault: str, snapshot: str
):
    if fault.startswith("mid_snapshot") and snapshot == "never":
        pytest.skip("no rows are read")
    config = config_of(server, "Orders", "Items", snapshot=snapshot, max_batch_rows=7)
    target = Target()
    writer = Writer(busy, seed=len(fault))
    writer.start()
    killed = 0
    try:
        for _ in range(4):
            run = InputRun(config, target.checkpoint, until=None, env={"DSTREAM_FAULT": fault})
            with contextlib.suppress(AssertionError):
                run.wait_for(lambda one: one.process.returncode is not None, timeout=10)
            killed += run.process.returncode is not None
            target.take(run.kill())
    finally:
        writer.stop()
    assert killed, "the fault was never met"
    finish(server, busy, target, config)
    assert_order(target)


def test_killed_at_random_while_connections_break_nothing_is_lost(server: SqlServer, busy: Database):
    config = config_of(server, "Orders", "Items", snapshot="initial", max_batch_rows=20)
    target = Target()
    choose = random.Random(7)
    writer = Writer(busy, seed=7)
    writer.start()
    try:
        for _ in range(10):
            run = InputRun(config, target.checkpoint, until=None)
            for _ in range(3):
                time.sleep(choose.uniform(0.05, 0.3))
                server.kill_sessions()
            time.sleep(choose.uniform(0.0, 0.4))
            target.take(run.kill())
    finally:
        writer.stop()
    finish(server, busy, target, config)
    assert_order(target)
    assert len(target.positions) > 200
