"""Runs and applies that are killed: queues are those in the state, and every change is in its queue, in order per row.

Repeats have the message_id of the first, so that without duplicate detection they can still be told apart.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.recorded_in import change
from providers.servicebus.tests.test_life import queues_in_state
from tests.events import PATIENCE, until

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

ROWS = 12


def changes(count: int, tables: list[str]) -> list[str]:
    return [change(tables[n % len(tables)], n, key=n % ROWS, n=n) for n in range(count)]


def children(pid: int) -> list[int]:
    """Return the processes below one."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(path.name), *children(int(path.name))]
    return found


def arrived(folder: Folder, queue: str) -> list[Any]:
    return list(folder.bus.store(queue).history)


def check(folder: Folder, count: int, *, repeats: bool) -> None:
    """Every change is there at least once; the first arrivals of each row are in order; repeats share a message_id."""
    seen: set[int] = set()
    for table in folder.tables:
        first: dict[str, int] = {}
        order: dict[int, list[int]] = {}
        for each in arrived(folder, f"{table}_cdc_events"):
            data = each.json()["data"]
            assert first.setdefault(each.message_id, data["n"]) == data["n"]
            if data["n"] not in seen:
                order.setdefault(data["id"], []).append(data["n"])
            else:
                assert repeats, f"change {data['n']} came twice"
            seen.add(data["n"])
        assert len(set(first)) == len(set(first.values()))
        assert all(numbers == sorted(numbers) for numbers in order.values())
    assert seen == set(range(count))


@pytest.mark.parametrize("victim", ["host", "output", "input"])
@pytest.mark.parametrize("deduplicates", [True, False])
def test_whoever_is_killed_while_it_runs_no_change_is_lost(folder: Folder, victim: str, deduplicates: bool) -> None:
    chance = random.Random(f"{victim}{deduplicates}")
    folder.write(f"duplicate_detection = {str(deduplicates).lower()}", input="every = 5\n pause = 0.02")
    folder.apply()
    folder.record(*changes(300, folder.tables))
    for _ in range(2):
        before = sum(len(arrived(folder, f"{table}_cdc_events")) for table in folder.tables)
        runner = folder.start("run", "copy", "-until-idle")
        enough = before + chance.randint(5, 60)

        def under_way(runner: subprocess.Popen[str] = runner, enough: int = enough) -> bool:
            now = sum(len(arrived(folder, f"{table}_cdc_events")) for table in folder.tables)
            return now > enough or runner.poll() is not None

        until(under_way, "enough changes")
        kill(runner, victim)
        runner.communicate(timeout=PATIENCE)
    folder.run()
    check(folder, 300, repeats=not deduplicates)


def kill(runner: subprocess.Popen[str], victim: str) -> None:
    if victim == "host":
        runner.kill()
        return
    for pid in children(runner.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if ("dstream-out-asb" if victim == "output" else "recorded_in") in words:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.mark.parametrize("moment", range(4))
def test_after_a_killed_apply_the_queues_are_those_in_the_state(folder: Folder, moment: int) -> None:
    folder.tables = [f"T{n}" for n in range(8)]
    folder.write()
    folder.bus.server.fault("PUT /T.*", delay=0.2, times=8)
    folder.bus.server.fault("PUT /T.*", lost=True, times=2)
    applying = folder.start("apply", "-auto-approve", "-parallelism", "2")
    until(lambda: len(folder.bus.server.requests("PUT")) > moment * 2, "creations", process=applying)
    applying.kill()
    applying.communicate(timeout=PATIENCE)
    folder.apply("-lock-timeout", "60s")
    expected = sorted(f"T{n}_cdc_events" for n in range(8))
    assert folder.bus.queues == expected == queues_in_state(folder)
    destroying = folder.start("destroy", "-auto-approve", "-allow-data-loss", "-parallelism", "2")
    until(lambda: len(folder.bus.server.requests("DELETE")) > moment, "deletions", process=destroying)
    destroying.kill()
    destroying.communicate(timeout=PATIENCE)
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss", "-lock-timeout", "60s")
    assert gone.code == 0, gone.said
    assert folder.bus.queues == [] == queues_in_state(folder)


def test_throttled_management_calls_are_tried_again_when_the_service_says(folder: Folder) -> None:
    folder.write()
    folder.bus.server.fault("PUT /.*", status=429, headers={"Retry-After": "1"}, times=3)
    folder.bus.server.fault("PUT /Orders_cdc_events", lost=True)
    folder.apply()
    assert folder.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"] == queues_in_state(folder)
