"""PostgreSQL to PostgreSQL: `dstream run` against the apply worker of a native subscription, on the same changes.

A source and two targets in one server. In each round a workload is written to the source while neither side runs; then
each side applies all of it, one after the other, in alternating order: `dstream run --until-idle` as a process, and
the subscription from ENABLE until its worker has confirmed the end of the log. Both targets are compared with the
source at the end. The result is the median ratio of the rates, by workload; above it stands what each process took of
the processor in the last round.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.postgres_processes import Processes
from tests.services.postgres import EmbeddedPostgres

PROGRAM = Path(sys.executable).parent / "dstream"
TABLE = "CREATE TABLE events (id bigint PRIMARY KEY, customer text, amount numeric(12, 2), at timestamptz, note text)"
CONFIGURATION = """
task "copy" {
  input {
    provider = "postgres"
    config {
      connection_string = env("SOURCE_URL")
      tables            = ["events"]
      slot              = "ours"
      snapshot          = "never"
    }
  }
  output {
    provider = "postgres"
    config {
      connection_string = env("TARGET_URL")
    }
  }
}
"""
TARGETS = {"inserts of 100": 0.6, "inserts of 1": 0.7, "inserts of 100000": 0.6, "updates of 100": 0.9}
"""What a workload's ratio is to reach: rows a transaction, and dstream's rate by that of native apply."""


@dataclass
class Sides:
    """The server, and the folder of dstream's configuration."""

    server: EmbeddedPostgres
    folder: Path

    def environment(self) -> dict[str, str]:
        """What dstream's commands see."""
        urls = {"SOURCE_URL": self.server.dsn("source"), "TARGET_URL": self.server.dsn("ours")}
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, **urls, "PATH": path}

    def dstream(self, *arguments: str) -> float:
        """Seconds of a whole command."""
        start = time.perf_counter()
        done = subprocess.run(
            [PROGRAM, *arguments], cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return time.perf_counter() - start

    def prepare(self) -> None:
        """Tables, publications, slots and a disabled subscription."""
        for name in ("source", "ours", "native"):
            self.server.create_database(name)
            self.server.execute(TABLE, dbname=name)
        (self.folder / "dstream.hcl").write_text(CONFIGURATION)
        self.dstream("apply", "-auto-approve")
        self.server.execute("CREATE PUBLICATION native FOR TABLE events", dbname="source")
        self.server.execute("SELECT pg_create_logical_replication_slot('native', 'pgoutput')", dbname="source")
        where = f"host={self.server.folder / 'run'} port={self.server.port} user=postgres dbname=source"
        self.server.execute(
            f"CREATE SUBSCRIPTION native CONNECTION '{where}' PUBLICATION native"
            " WITH (create_slot = false, slot_name = 'native', enabled = false, copy_data = false)",
            dbname="native",
        )
        self.ours()
        self.native()

    def ours(self) -> float:
        """Seconds in which dstream applies what there is."""
        return self.dstream("run", "--until-idle", "copy")

    def native(self) -> float:
        """Seconds in which the subscription applies what there is."""
        ((end,),) = self.server.execute("SELECT pg_current_wal_insert_lsn()", dbname="source")
        with self.server.connect("native") as target, target.cursor() as cursor:
            start = time.perf_counter()
            cursor.execute("ALTER SUBSCRIPTION native ENABLE")
            confirmed = "SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = 'native'"
            while True:
                cursor.execute(confirmed, (end,))
                found = cursor.fetchone()
                if found and found[0]:
                    break
                time.sleep(0.01)
            passed = time.perf_counter() - start
            cursor.execute("ALTER SUBSCRIPTION native DISABLE")
        return passed

    def write(self, kind: str, rows: int, first: int) -> None:
        """Write a workload to the source: `inserts of N` or `updates of N`."""
        what, _, size = kind.partition(" of ")
        step = int(size)
        with self.server.connect("source") as connection, connection.cursor() as cursor:
            for begin in range(first, first + rows, step):
                end = min(begin + step, first + rows) - 1
                if what == "inserts":
                    cursor.execute(
                        "INSERT INTO events SELECT n, 'customer ' || n %% 5000, n / 7.0, now(), repeat('x', 60)"
                        " FROM generate_series(%s, %s) n",
                        (begin, end),
                    )
                else:
                    cursor.execute("UPDATE events SET amount = amount + 1 WHERE id BETWEEN %s AND %s", (begin, end))
            cursor.execute("SELECT pg_logical_emit_message(true, 'bench', 'end')")

    def check(self) -> None:
        """End the program if one of the targets differs from the source."""
        sums = {
            name: self.server.execute("SELECT count(*), sum(hashtextextended(e::text, 0)) FROM events e", dbname=name)
            for name in ("source", "ours", "native")
        }
        if len({str(found) for found in sums.values()}) > 1:
            raise SystemExit(f"the tables differ: {sums}")


def main() -> int:
    """Measure and print a table; exit code 1 if a target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=400_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", default="", help="the workloads whose names contain this")
    options.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    given = options.parse_args()
    missed = 0
    settings = {"max_wal_size": "8GB", "checkpoint_timeout": "30min", "max_logical_replication_workers": "8"}
    with EmbeddedPostgres(settings=settings) as server, tempfile.TemporaryDirectory() as folder:
        sides = Sides(server, Path(folder))
        sides.prepare()
        first = 1
        print(f"a run without rows takes dstream {sides.ours():.2f} s: every rate includes it")
        print(f"{'workload':20} {'round':>5} {'dstream':>16} {'native apply':>16} {'ratio':>6}")
        for kind, target in TARGETS.items():
            if given.only not in kind:
                continue
            ratios = []
            for number in range(given.rounds):
                if kind.startswith("updates"):
                    sides.write("inserts of 10000", given.rows, first)
                    sides.ours()
                    sides.native()
                sides.write(kind, given.rows, first)
                order: list[Callable[[], float]] = [sides.ours, sides.native]
                taken, used = {}, {}
                for side in order if number % 2 else order[::-1]:
                    with Processes(server) as used[side.__name__]:
                        taken[side.__name__] = side()
                first += given.rows
                ratios.append(taken["native"] / taken["ours"])
                rates = f"{given.rows / taken['ours']:9,.0f} rows/s {given.rows / taken['native']:9,.0f} rows/s"
                print(f"{kind:20} {number + 1:5} {rates} {ratios[-1]:6.2f}", flush=True)
            for name, processes in used.items():
                print(f"{name}: {processes.by_row(given.rows)}")
            missed += median(ratios) < target
            print(f"{kind:20} median ratio {median(ratios):.2f} (target: at least {target})", flush=True)
        sides.check()
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
