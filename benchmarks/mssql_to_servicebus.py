"""SQL Server to Service Bus with `dstream run`, against a bare reader and a bare sender on the same stand-ins.

Each round, in alternating order: a loop over the driver reads all changes and does nothing with them, a loop over the
client library sends as many messages of the same size, and dstream does both, as a command from its start to its exit.
Messages are counted in the queue, at the end. The stand-ins are processes of their own.

Seconds of the processor are told for each process of the pipeline: each is one thread of Python at a time, so the one
with the most is the bottleneck of the pipeline, however many cores there are; and for the bare sender, so that it shows
how much of the output is the client library. (Linux only: they are read from /proc.)
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import servicebus_sender
from benchmarks.mssql_reader import loop
from benchmarks.servicebus_sender import QUEUE, processor

PROGRAM = Path(sys.executable).parent / "dstream"
PARTS = ("SQL Server (stand-in)", "dstream-in-mssql", "dstream", "dstream-out-asb", "Service Bus (stand-in)")
CONFIGURATION = """
task "copy" {
  input {
    provider = "mssql"
    config {
      connection_string = env("SQL_CONNECTION")
      tables            = ["Events"]
      max_batch_rows    = 10000
    }
  }
  output {
    provider = "asb"
    config {
      connection_string = env("ASB_CONNECTION")
      queue_name        = "%s"
      manage            = false
    }
  }
}
"""


ROW = {"Id": 12345, "Customer": "customer 1234", "Amount": 1234.56, "At": "2026-01-01T00:00:00", "Note": "x" * 280}
METADATA = {
    "TableName": "Events",
    "Schema": "dbo",
    "OperationType": "Insert",
    "OperationID": 2,
    "LSN": "0" * 20,
    "Seq": "0" * 20,
    "Key": '{"Id":12345}',
    "Position": f"{'0' * 20}/{'0' * 20}/1/0002",
    "TransactionID": "0" * 20,
}
"""An envelope as the input writes it: its metadata are the properties of a message."""


class Watch(threading.Thread):
    """Notes, until a command has ended, the seconds of the processor of its processes, by program."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._seen, self._names = pid, dict[int, float](), dict[int, str]()
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        """Look every few milliseconds."""
        while not self.done.wait(0.02):
            for pid in self._family():
                try:
                    self._seen[pid] = processor(pid)
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                except (OSError, ValueError):
                    continue  # it has ended
                name = next((Path(each).name for each in words if "dstream" in Path(each).name), "")
                if name:  # what has ended has no command any more
                    self._names[pid] = name

    def _family(self) -> list[int]:
        found, left = [], [self._pid]
        while left:
            pid = left.pop()
            found.append(pid)
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    left += map(int, path.read_text().split())
                except OSError:
                    continue
        return found

    def of(self, name: str) -> float:
        """Return the seconds of a program."""
        return sum(self._seen[pid] for pid, each in self._names.items() if each == name)


def pipeline(folder: Path, environment: dict[str, str]) -> tuple[float, Watch]:
    """Run dstream over everything that there is; return the seconds by the clock, and those of the processor."""
    folder.joinpath("dstream.hcl").write_text(CONFIGURATION % QUEUE)
    begun = time.perf_counter()
    command = [str(PROGRAM), "run", "copy", "-until-idle", "-unapplied"]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = Watch(process.pid)
    said, _ = process.communicate()
    watch.done.set()
    if process.returncode:
        raise SystemExit(said.decode())
    return time.perf_counter() - begun, watch


def main() -> int:
    """Measure and print tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    pipe, theirs = multiprocessing.Pipe()
    context: Any = multiprocessing.get_context("spawn")
    bus = context.Process(target=servicebus_sender.serve, args=(theirs,), daemon=True)
    bus.start()
    asb, environment = pipe.recv()
    argv = [sys.executable, "-m", "benchmarks.mssql_server", str(given.rows)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        sql = server.stdout.readline().strip()
        environment = {**environment, "SQL_CONNECTION": sql, "ASB_CONNECTION": asb}
        bodies = [json.dumps({"data": ROW, "metadata": METADATA}).encode()] * given.rows
        rates: dict[str, list[float]] = {"bare reader": [], "bare sender": [], "dstream run": []}
        costs: list[list[float]] = []
        totals: list[float] = []
        libraries: list[float] = []

        def counted() -> None:
            pipe.send("count")
            if (count := pipe.recv()) != given.rows:
                raise SystemExit(f"{count} messages arrived, and not {given.rows}")

        def one(name: str) -> float:
            if name == "bare reader":
                return loop(sql, 10_000, given.rows)
            if name == "bare sender":
                seconds, used = servicebus_sender.bare(asb, bodies, METADATA)
                libraries.append(used)
                counted()
                return seconds
            before = [processor(pid) for pid in (server.pid, bus.pid)]
            used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
            with tempfile.TemporaryDirectory() as folder:
                seconds, watch = pipeline(Path(folder), environment)
            totals.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - used)
            after = [processor(pid) for pid in (server.pid, bus.pid)]
            counted()
            both = [now - then for now, then in zip(after, before, strict=True)]
            costs.append([both[0], *map(watch.of, PARTS[1:-1]), both[1]])
            return seconds

        for number in range(given.rounds + 1):
            for name in rates if number % 2 else reversed(rates):
                seconds = one(name)
                if number:  # the first round warms up
                    rates[name].append(given.rows / seconds)
            del costs[: not number], totals[: not number], libraries[: not number]
        server.stdin.close()
    pipe.send("end")
    print(f"medians of {given.rounds} rounds of {given.rows:,} rows")
    for name, found in rates.items():
        print(f"{name:24} {median(found):9,.0f} rows/s")
    slower = [min(each) for each in zip(rates["bare reader"], rates["bare sender"], strict=True)]
    ratios = [ours / bare for ours, bare in zip(rates["dstream run"], slower, strict=True)]
    print(f"against the slower of the bare loops: {median(ratios):.2f}")
    print("\nof the processor, in the pipeline:")
    each = {name: median(found) / given.rows * 1e6 for name, found in zip(PARTS, zip(*costs, strict=True), strict=True)}
    for name, spent in each.items():
        print(f"{name:24} {spent:6.0f} µs for each row")
    print(f"{'the bare sender':24} {median(libraries) / given.rows * 1e6:6.0f} µs, all of the client library")
    print(f"dstream's three         {median(totals) / given.rows * 1e6:7.0f} µs for each row, start-up included")
    print(f"bottleneck: {max(each, key=lambda name: each[name])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
