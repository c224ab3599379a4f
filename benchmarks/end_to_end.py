"""PostgreSQL to JSON Lines with `dstream run`, against `pg_recvlogical` reading the same changes to nowhere.

Each round: a slot for each side, then the rows are inserted in transactions of 1,000, then both sides read them
all, in alternating order. Rows are counted in the file that was written, at the end. The time of dstream is the
whole command's, from its start to its exit with everything durable and acknowledged. The result is the median
of the rounds' ratios. `pg_recvlogical` comes with PostgreSQL, parses nothing and writes to /dev/null.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import installations

PROGRAMS = Path(sys.executable).parent
TABLE = """
CREATE TABLE events (id bigint PRIMARY KEY, customer int, amount numeric(12, 2), at timestamptz, note text)
"""
ROWS = """
INSERT INTO events SELECT n, n %% 5000, n / 7.0, now(), repeat(md5(n::text), 8) FROM generate_series(%s, %s) n
"""
CONFIGURATION = """
task "events" {
  input {
    provider = "postgres"
    config {
      connection_string = env("DATABASE_URL")
      tables            = ["events"]
      snapshot          = "never"
    }
  }
  output {
    provider = "jsonl"
    config { path = "events.jsonl" }
  }
}
"""


def insert(server: EmbeddedPostgres, database: str, rows: int) -> None:
    """Insert the rows in transactions of 1,000."""
    with server.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        for first in range(1, rows + 1, 1000):
            cursor.execute(ROWS, (first, min(first + 999, rows)))


def dstream(folder: Path, url: str, *arguments: str) -> float:
    """Seconds that a dstream command takes; raises when it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [PROGRAMS / "dstream", *arguments],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"dstream {arguments[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def recvlogical(server: EmbeddedPostgres, database: str, end: str) -> float:
    """Seconds that pg_recvlogical takes to read its slot up to the position `end`."""
    program = installations()[0].tree / "bin" / "pg_recvlogical"
    start = time.perf_counter()
    subprocess.run(
        [
            *(program, "-d", server.dsn(database), "--slot", "reference", "--start", "-f", os.devnull, "--no-loop"),
            *("-o", "proto_version=1", "-o", "publication_names=reference", f"--endpos={end}"),
        ],
        check=True,
    )
    return time.perf_counter() - start


def lines(path: Path) -> int:
    """The number of lines in a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def one_round(server: EmbeddedPostgres, number: int, rows: int) -> tuple[float, float]:
    """Rows per second of dstream and of pg_recvlogical over the same rows."""
    database = f"bench{number}"
    url = server.create_database(database)
    folder = Path(tempfile.mkdtemp(prefix="dstream-bench-"))
    try:
        (folder / "dstream.hcl").write_text(CONFIGURATION)
        server.execute(TABLE, dbname=database)
        server.execute("CREATE PUBLICATION reference FOR TABLE events", dbname=database)
        server.execute("SELECT pg_create_logical_replication_slot('reference', 'pgoutput')", dbname=database)
        dstream(folder, url, "apply", "-auto-approve")
        insert(server, database, rows)
        end = server.execute("SELECT pg_current_wal_lsn()", dbname=database)[0][0]
        server.execute("SELECT pg_logical_emit_message(true, 'bench', 'end')", dbname=database)

        times: dict[str, float] = {}
        sides: list[tuple[str, Callable[[], float]]] = [
            ("dstream", lambda: dstream(folder, url, "run", "events", "--until-idle")),
            ("reference", lambda: recvlogical(server, database, end)),
        ]
        for name, side in sides if number % 2 else reversed(sides):
            times[name] = side()
        written = lines(folder / "events.jsonl")
        if written != rows:
            raise SystemExit(f"{written} rows were written, and not {rows}")
        return rows / times["dstream"], rows / times["reference"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        drop(server, database)


def drop(server: EmbeddedPostgres, database: str) -> None:
    """Drop what a round leaves behind, so that the server keeps no log for it."""
    slots = server.execute("SELECT slot_name FROM pg_replication_slots")
    for (slot,) in slots:
        server.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    server.execute(f"DROP DATABASE {database} WITH (FORCE)")


def main() -> int:
    """Measure and print a table; exit code 1 if the target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--strict", action="store_true", help="end with 1 when the target is missed")
    given = options.parse_args()
    settings = {"max_wal_size": "8GB", "checkpoint_timeout": "30min", "synchronous_commit": "off"}
    print(f"{'round':6} {'dstream':>14} {'pg_recvlogical':>16} {'ratio':>6}")
    ratios = []
    with EmbeddedPostgres(settings=settings) as server:
        for number in range(1, given.rounds + 1):
            ours, reference = one_round(server, number, given.rows)
            ratios.append(ours / reference)
            print(f"{number:<6} {ours:9,.0f} rows/s {reference:11,.0f} rows/s {ratios[-1]:6.2f}", flush=True)
    print(f"median ratio {median(ratios):.2f} (target: at least 0.30)")
    return 1 if median(ratios) < 0.3 and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
