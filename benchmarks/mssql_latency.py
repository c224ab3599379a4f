"""The SQL Server input: from the commit of a burst to the checkpoint that covers it, which is when outputs release it.

A burst is one transaction with a row for each of one or three tables. It comes when the one before has been covered,
after a random pause, so that it meets the input at any point of its intervals. The server is the stand-in of the tests,
in this process, whose capture agent takes no time: what a real one takes comes on top (5 s between two scans of the
log by default, 20 s in Azure SQL Database).
"""

import argparse
import itertools
import math
import random
import sys
import time
from statistics import median

from dstream_sdk.testing import RunningInput
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

POLL, CHECKPOINT, ALLOWED = 0.1, 0.2, 0.3
_ids = itertools.count()
COMMAND = [sys.executable, "-m", "dstream_mssql", "in"]


def latencies(server: SqlServer, shop: Database, tables: list[str], bursts: int) -> list[float]:
    """Seconds from each commit to its checkpoint."""
    config = {
        "connection_string": server.connection_string("bench"),
        "tables": tables,
        "poll_interval": f"{POLL * 1000:.0f}ms",
        "max_poll_interval": f"{POLL * 1000:.0f}ms",
        "checkpoint_interval": f"{CHECKPOINT * 1000:.0f}ms",
        "heartbeat": "1h",
        "start": "now",
    }
    run = RunningInput(COMMAND, config, None, until=None)
    run.wait_for(lambda one: bool(one.lines), 60.0)  # ready: from here on it misses nothing
    found, generator = [], random.Random(1)
    expected = 0
    for number in range(bursts + 1):
        with shop.transaction() as t:
            for table in tables:
                t.insert(table, Id=next(_ids))
        committed = time.perf_counter()
        expected += len(tables)
        run.wait_for(lambda one, expected=expected: one.covered >= expected, 60.0)  # type: ignore[misc]  # bound now
        if number:  # the first one waits for the start
            found.append(time.perf_counter() - committed)
        time.sleep(generator.uniform(0, POLL + CHECKPOINT))
    run.stop()
    return sorted(found)


def percentile(values: list[float], part: float) -> float:
    """The value that `part` of all do not exceed."""
    return values[min(len(values), math.ceil(len(values) * part)) - 1]


def main() -> int:
    """Measure and print a table; exit code 1 if the target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bursts", type=int, default=300)
    options.add_argument("--strict", action="store_true", help="end with 1 when the target is missed")
    given = options.parse_args()
    target = CHECKPOINT + ALLOWED
    missed = False
    print(f"{'tables':>6} {'bursts':>7} {'p50':>8} {'p99':>8} {'most':>8}   target: p99 of at most {target:.1f} s")
    with SqlServer() as server:
        shop = server.create_database("bench")
        for name in ("A", "B", "C"):
            shop.create_table(name, "Id int primary key")
            shop.cdc.enable_table(name)
        for tables in (["A"], ["A", "B", "C"]):
            found = latencies(server, shop, tables, given.bursts)
            p99 = percentile(found, 0.99)
            missed = missed or p99 > target
            print(f"{len(tables):6} {len(found):7} {median(found):6.3f} s {p99:6.3f} s {found[-1]:6.3f} s", flush=True)
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
