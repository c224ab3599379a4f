"""The PostgreSQL input alone, as its own process writing to nowhere, against `pg_recvlogical` reading the same.

One set of rows, inserted in transactions of 1,000. Each round copies the slot from before them for each side, which
then reads all of them, in alternating order; both are whole processes, start-up included. Nothing is confirmed, so
every round reads the same log. Before the rounds each side reads once, to warm up, and the input's lines are counted.
The result is the median of the rounds' ratios; `pg_recvlogical` against itself is the control.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import IO

from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import installations

PROGRAM = Path(sys.executable).parent / "dstream-in-postgres"
TABLE = "CREATE TABLE events (id bigint PRIMARY KEY, customer text, amount numeric(12, 2), at timestamptz, note text)"
ROWS = """
INSERT INTO events SELECT n, 'customer ' || n %% 5000, n / 7.0, now(), repeat('x', 280) FROM generate_series(%s, %s) n
"""


def reader(server: EmbeddedPostgres, slot: str, sink: IO[bytes] | int) -> float:
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


def main() -> int:
    """Measure and print a table; exit code 1 if the target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--strict", action="store_true", help="end with 1 when the target is missed")
    given = options.parse_args()
    settings = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}
    ratios, controls = [], []
    with EmbeddedPostgres(settings=settings) as server:
        server.execute(TABLE)
        server.execute("CREATE PUBLICATION bench FOR TABLE events")
        server.execute("SELECT pg_create_logical_replication_slot('origin', 'pgoutput')")
        with server.connect() as connection, connection.cursor() as cursor:
            for first in range(1, given.rows + 1, 1000):
                cursor.execute(ROWS, (first, min(first + 999, given.rows)))
        end = server.execute("SELECT pg_current_wal_lsn()")[0][0]
        server.execute("SELECT pg_logical_emit_message(true, 'bench', 'end')")

        with tempfile.TemporaryFile() as file:
            copies(server, "warm", "warmed")
            reader(server, "warm", file)
            recvlogical(server, "warmed", end)
            drop(server, "warm", "warmed")
            file.seek(0)
            written = sum(line.startswith(b'{"data":') for line in file)
        if written != given.rows:
            raise SystemExit(f"{written} rows were written, and not {given.rows}")

        print(f"{'round':6} {'input':>16} {'pg_recvlogical':>18} {'ratio':>6} {'control':>8}")
        for number in range(1, given.rounds + 1):
            copies(server, "ours", "theirs", "control")
            if number % 2:
                ours = reader(server, "ours", subprocess.DEVNULL)
                theirs = recvlogical(server, "theirs", end)
                control = recvlogical(server, "control", end)
            else:
                control = recvlogical(server, "control", end)
                theirs = recvlogical(server, "theirs", end)
                ours = reader(server, "ours", subprocess.DEVNULL)
            drop(server, "ours", "theirs", "control")
            ratios.append(theirs / ours)
            controls.append(theirs / control)
            rates = f"{given.rows / ours:9,.0f} rows/s {given.rows / theirs:11,.0f} rows/s"
            print(f"{number:<6} {rates} {ratios[-1]:6.2f} {controls[-1]:8.2f}", flush=True)
    print(f"median ratio {median(ratios):.2f} (target: at least 0.45), control {median(controls):.2f}")
    return 1 if median(ratios) < 0.45 and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
