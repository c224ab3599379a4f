"""PostgreSQL to a file of JSON Lines with `dstream run`, and the input alone, against `pg_recvlogical` on the same log.

Rows are inserted in transactions of one size after the other: 100, 1, 100,000. In each round three sides read all of
them from a slot that was copied from before them, in alternating order, each as whole processes, start-up included:
`dstream run --until-idle` into a file, the input alone writing to nowhere, and `pg_recvlogical` to nowhere, twice: the
second time is the control. Before the rounds each side reads once, to warm up, and the lines are counted. The result of
a size is the median of the rounds' ratios of `dstream run` to `pg_recvlogical`, by the clock; above it stands what each
process took of the processor in the last round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.postgres_processes import Processes
from benchmarks.postgres_writer import TABLE
from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import installations

PROGRAM = Path(sys.executable).parent / "dstream-in-postgres"
TARGETS = {100: 0.9, 1: 0.95, 100_000: 0.8}
"""What `dstream run` is to reach of the rate of `pg_recvlogical`, by the rows of a transaction."""
CONFIGURATION = """
task "copy" {
  input {
    provider = "postgres"
    config {
      connection_string = env("SOURCE_URL")
      tables            = ["events"]
      slot              = "ours"
      publication       = "bench"
      manage            = false
      snapshot          = "never"
    }
  }
  output {
    provider = "jsonl"
    config {
      path = "changes.jsonl"
    }
  }
}
"""
ROWS = """
INSERT INTO events SELECT n, 'customer ' || n %% 5000, n / 7.0, now(), repeat('x', 280) FROM generate_series(%s, %s) n
"""


def pipeline(server: EmbeddedPostgres) -> tuple[float, int]:
    """Seconds of a whole `dstream run` of the slot `ours` into a file, and how many rows the file has."""
    environment = {**os.environ, "SOURCE_URL": server.dsn()}
    environment["PATH"] = f"{PROGRAM.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dstream.hcl").write_text(CONFIGURATION)
        for arguments in (("apply", "-auto-approve"), ("run", "--until-idle", "copy")):
            start = time.perf_counter()
            command = [PROGRAM.with_name("dstream"), *arguments]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stdout + done.stderr)
        passed = time.perf_counter() - start
        with (folder / "changes.jsonl").open("rb") as file:
            return passed, sum(line.startswith(b'{"data":') for line in file)


def reader(server: EmbeddedPostgres, slot: str, sink: int) -> float:
    """Seconds of one whole session of the input."""
    opening = {
        "command": "run",
        "protocol": 2,
        "role": "input",
        "task": "bench",
        "acks": True,
        "checkpoint": None,
        "until": "current",
        "config": {
            "connection_string": server.dsn(),
            "tables": ["events"],
            "slot": slot,
            "publication": "bench",
            "snapshot": "never",
        },
    }
    start = time.perf_counter()
    with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=sink) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(opening).encode() + b"\n")
        process.stdin.flush()
        if process.wait():
            raise SystemExit("the input failed")
    return time.perf_counter() - start


def recvlogical(server: EmbeddedPostgres, slot: str, end: str) -> float:
    """Seconds of `pg_recvlogical` until it has read up to `end`."""
    program = installations()[0].tree / "bin" / "pg_recvlogical"
    command = [program, "-d", server.dsn(), "--slot", slot, "--start", "--no-loop", "-f", os.devnull, "--endpos", end]
    options = ["-o", "proto_version=1", "-o", "publication_names=bench", "--status-interval", "0"]
    start = time.perf_counter()
    subprocess.run([*map(str, command), *options], check=True)
    return time.perf_counter() - start


def copies(server: EmbeddedPostgres, *names: str) -> None:
    """Slots at the place of the first one."""
    for name in names:
        server.execute("SELECT pg_copy_logical_replication_slot('origin', %s)", (name,))


def drop(server: EmbeddedPostgres, *names: str) -> None:
    """Drop slots; a sender takes a moment to notice that its client is gone."""
    for name in names:
        for _ in range(100):
            if not server.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (name,))[0][0]:
                break
            time.sleep(0.05)
        server.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def write(server: EmbeddedPostgres, rows: int, size: int) -> None:
    """Insert rows in transactions of a size."""
    with server.connect() as connection, connection.cursor() as cursor:
        for first in range(1, rows + 1, size):
            cursor.execute(ROWS, (first, min(first + size - 1, rows)))


def compare(server: EmbeddedPostgres, rows: int, rounds: int, size: int) -> float:
    """Measure one size of transactions, and print a table; return the median ratio."""
    server.execute("TRUNCATE events")
    server.execute("SELECT pg_create_logical_replication_slot('origin', 'pgoutput')")
    write(server, rows, size)
    end = server.execute("SELECT pg_current_wal_lsn()")[0][0]
    server.execute("SELECT pg_logical_emit_message(true, 'bench', 'end')")

    def moved() -> float:
        passed, written = pipeline(server)
        if written != rows:
            raise SystemExit(f"{written} rows were written, and not {rows}")
        return passed

    sides: dict[str, Callable[[], float]] = {
        "ours": moved,
        "alone": lambda: reader(server, "alone", subprocess.DEVNULL),
        "theirs": lambda: recvlogical(server, "theirs", end),
        "control": lambda: recvlogical(server, "control", end),
    }
    print(f"transactions of {size:,}")
    print(f"{'round':6} {'dstream run':>16} {'input alone':>16} {'pg_recvlogical':>16} {'ratio':>6} {'control':>8}")
    ratios = []
    for number in range(rounds + 1):
        copies(server, *sides)
        order = list(sides) if number % 2 else list(reversed(sides))
        taken, used = {}, {}
        for side in order:
            with Processes(server) as used[side]:
                taken[side] = sides[side]()
        drop(server, *sides)
        if not number:
            continue  # to warm up
        ratios.append(taken["theirs"] / taken["ours"])
        rates = " ".join(f"{rows / taken[side]:9,.0f} rows/s" for side in ("ours", "alone", "theirs"))
        print(f"{number:<6} {rates} {ratios[-1]:6.2f} {taken['theirs'] / taken['control']:8.2f}", flush=True)
    for side in ("ours", "theirs"):
        print(f"{side}: {used[side].by_row(rows)}")
    drop(server, "origin")
    print(f"median ratio {median(ratios):.2f} (target: at least {TARGETS.get(size, 0.9)})", flush=True)
    return median(ratios)


def main() -> int:
    """Measure and print tables; exit code 1 if a target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--sizes", type=int, nargs="+", default=list(TARGETS), help="rows of a transaction")
    options.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    given = options.parse_args()
    settings = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}
    with EmbeddedPostgres(settings=settings) as server:
        server.execute(TABLE)
        server.execute("CREATE PUBLICATION bench FOR TABLE events")
        missed = [
            size for size in given.sizes if compare(server, given.rows, given.rounds, size) < TARGETS.get(size, 0.9)
        ]
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
