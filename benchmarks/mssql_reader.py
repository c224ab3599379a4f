"""The SQL Server input alone, writing to nowhere, against a bare loop over the same driver and stand-in.

The bare loop asks for the same pages of the change table (TOP WITH TIES) and fetches the driver's
rows one by one, to do nothing with them; it is a process of its own too. Both read all changes, in alternating order,
start-up included; the loop against itself is the control. The server is a stand-in in a third process: these numbers
say what the reader costs beside the driver, not what a real SQL Server gives.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import IO

PROGRAM = Path(sys.executable).parent / "dstream-in-mssql"
TARGET = 0.8
LOOP = """
import sys
import pytds
from dstream_mssql.database import connect, target_of
from dstream_mssql import statements
from dstream_mssql.lsn import from_bytes, to_bytes
names = [("Id", "bigint", 8), ("Customer", "nvarchar", 80), ("Amount", "decimal", 9), ("At", "datetime2", 8),
         ("Note", "nvarchar", 600)]
database = connect(target_of(sys.argv[1]))
((end,),) = database.rows(statements.MAX_LSN)
((start,),) = database.rows(statements.MIN_LSN, "dbo_Events")
count, place = 0, []
while True:
    text = statements.changes("dbo_Events", names, ["Id"], within=bool(place))
    cursor = database.execute(text, int(sys.argv[2]), start, end, *place)
    found, row = 0, None
    for row in cursor:
        found += 1
    count += found
    if found < int(sys.argv[2]):
        break
    start, place = row[0], [row[4], row[1]]
print(count)
"""


def reader(connection: str, sink: IO[bytes] | int, rows: int) -> float:
    """Seconds of one whole session of the input."""
    opening = {
        "command": "run",
        "protocol": 2,
        "role": "input",
        "task": "bench",
        "acks": True,
        "checkpoint": None,
        "until": "current",
        "config": {"connection_string": connection, "tables": ["Events"], "max_batch_rows": rows},
    }
    start = time.perf_counter()
    with subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=sink) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(opening).encode() + b"\n")
        process.stdin.flush()
        if process.wait():
            raise SystemExit("the input failed")
    return time.perf_counter() - start


def loop(connection: str, batch: int, rows: int) -> float:
    """Seconds of the bare loop."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LOOP, connection, str(batch)], capture_output=True, text=True, check=True
    )
    if int(done.stdout) != rows:
        raise SystemExit(f"the loop read {done.stdout} rows, and not {rows}")
    return time.perf_counter() - start


def main() -> int:
    """Measure and print a table; exit code 1 if the target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--batch", type=int, default=10_000, help="rows of a page, for both")
    options.add_argument("--strict", action="store_true", help="end with 1 when the target is missed")
    given = options.parse_args()
    ratios, controls = [], []
    server = [sys.executable, "-m", "benchmarks.mssql_server", str(given.rows)]
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        connection = running.stdout.readline().strip()
        with tempfile.TemporaryFile() as file:
            reader(connection, file, given.batch)
            loop(connection, given.batch, given.rows)
            file.seek(0)
            written = sum(line.startswith(b'{"data":') for line in file)
        if written != given.rows:
            raise SystemExit(f"{written} rows were written, and not {given.rows}")
        print(f"{'round':6} {'input':>16} {'bare loop':>16} {'ratio':>6} {'control':>8}")
        for number in range(1, given.rounds + 1):
            if number % 2:
                ours = reader(connection, subprocess.DEVNULL, given.batch)
                theirs = loop(connection, given.batch, given.rows)
                control = loop(connection, given.batch, given.rows)
            else:
                control = loop(connection, given.batch, given.rows)
                theirs = loop(connection, given.batch, given.rows)
                ours = reader(connection, subprocess.DEVNULL, given.batch)
            ratios.append(theirs / ours)
            controls.append(theirs / control)
            rates = f"{given.rows / ours:9,.0f} rows/s {given.rows / theirs:9,.0f} rows/s"
            print(f"{number:<6} {rates} {ratios[-1]:6.2f} {controls[-1]:8.2f}", flush=True)
        running.stdin.close()
    print(f"median ratio {median(ratios):.2f} (target: at least {TARGET}), control {median(controls):.2f}")
    return 1 if median(ratios) < TARGET and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
