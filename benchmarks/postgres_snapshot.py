"""The snapshot of the PostgreSQL input alone, as its own process writing to nowhere, against `COPY ... row_to_json`.

Both read the same table, in alternating order; the input is a whole process, start-up included, and its checkpoints are
answered immediately. The copy is made by psql, to the null device. The result is the median of the rounds' ratios, by
the clock; under it stands what each process took of the processor.
"""

import argparse
import json
import subprocess
import sys
import time
from statistics import median

from benchmarks.postgres_processes import Processes
from benchmarks.postgres_reader import PROGRAM, ROWS
from benchmarks.postgres_writer import TABLE
from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import installations


def snapshot(server: EmbeddedPostgres) -> tuple[float, int]:
    """Seconds of one session from the beginning, and how many lines it wrote."""
    config = {"connection_string": server.dsn(), "tables": ["events"], "slot": "bench", "publication": "bench"}
    opening = {"command": "run", "protocol": 2, "role": "input", "task": "bench", "acks": True, "checkpoint": None}
    start = time.perf_counter()
    count = 0
    with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**opening, "until": "current", "config": config}).encode() + b"\n")
        process.stdin.flush()
        rest = b""
        while block := process.stdout.read1(1 << 20):  # type: ignore[attr-defined]
            count += (rest[-7:] + block).count(b'{"data":')
            at = block.rfind(b'{"checkpoint":')
            if at >= 0 and block.endswith(b"}\n") and block.count(b"\n", at) == 1:
                value = json.loads(block[at:])
                answer = {"committed": {"n": value["n"], "checkpoint": value["checkpoint"]}}
                process.stdin.write(json.dumps(answer).encode() + b"\n")
                process.stdin.flush()
            rest = block[-200:]
        if process.wait():
            raise SystemExit(f"the input failed: {rest!r}")
    return time.perf_counter() - start, count


def copy(server: EmbeddedPostgres) -> float:
    """Seconds of psql that copies the rows as JSON to nowhere."""
    program = installations()[0].tree / "bin" / "psql"
    command = [str(program), server.dsn(), "-qc", "COPY (SELECT row_to_json(events) FROM events) TO STDOUT"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    ratios = []
    with EmbeddedPostgres(settings={"max_wal_size": "8GB"}) as server:
        server.execute(TABLE)
        server.execute(ROWS, (1, given.rows))
        server.execute("VACUUM ANALYZE events")
        server.execute("CREATE PUBLICATION bench FOR TABLE events")
        server.execute("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
        copy(server)
        print(f"{'round':6} {'snapshot':>16} {'COPY row_to_json':>18} {'ratio':>6}")
        for number in range(1, given.rounds + 1):
            with Processes(server) as copying:
                theirs = copy(server) if number % 2 else 0.0
            with Processes(server) as reading:
                ours, count = snapshot(server)
            if not theirs:
                with Processes(server) as copying:
                    theirs = copy(server)
            if count != given.rows:
                raise SystemExit(f"{count} rows were written, and not {given.rows}")
            ratios.append(theirs / ours)
            rates = f"{given.rows / ours:9,.0f} rows/s {given.rows / theirs:11,.0f} rows/s"
            print(f"{number:<6} {rates} {ratios[-1]:6.2f}", flush=True)
    print(f"median ratio {median(ratios):.2f} (aim: 0.7)")
    print(f"snapshot: {reading.by_row(given.rows)}")
    print(f"COPY: {copying.by_row(given.rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
