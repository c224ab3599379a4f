"""The pump in the middle of two processes, and `cat` in its place: `python -m benchmarks.pump`.

A source writes 500-byte lines from a file, a sink counts bytes as it reads them. In between stands once the pump, with
control lines looked for and the lease asked before each write as in a real session, and once `cat`. Both move the same
bytes, alternate, and are timed from the first start to the sink's end. The ratio is of the medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dstream.run.pump import Pump, PumpOptions
from dstream.run.pump_handler import PumpHandler
from dstream.run.transfer import widen

LINE = b'{"data":{"id":%d,"text":"' + b"x" * 430 + b'"},"metadata":{"TableName":"t","Key":{"id":1}}}\n'
LINES = 2_000_000
EVERY = 10_000
ROUNDS = 5
MIB = 1 << 20


class Handler(PumpHandler):
    """Counts checkpoints, and looks at a clock before each write, as a lease does."""

    checkpoints = 0

    def before_write(self) -> None:
        """Look at a clock."""
        time.monotonic()

    def on_checkpoint(self, line: bytes, records: int) -> None:
        """Count."""
        self.checkpoints += 1


def write_rows(path: Path) -> int:
    """Write the rows with a checkpoint after each 10,000; return the size."""
    with path.open("wb") as file:
        for start in range(0, LINES, EVERY):
            block = b"".join(LINE % number for number in range(start, start + EVERY))
            file.write(block + b'{"checkpoint":{"id":%d},"n":%d}\n' % (start + EVERY, start // EVERY + 1))
    return path.stat().st_size


def started(path: Path) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start the source and the sink, which prints how many bytes it has read."""
    source = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
    sink = subprocess.Popen(["wc", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return source, sink


def with_pump(path: Path, size: int) -> float:
    """Move everything through the pump; return the seconds it took."""
    began = time.perf_counter()
    source, sink = started(path)
    assert source.stdout is not None and sink.stdin is not None and sink.stdout is not None
    for pipe in (source.stdout, sink.stdin):
        widen(pipe.fileno())
    handler = Handler()
    options = PumpOptions(controls=True, record_limit=16 * MIB)
    pump = Pump(source.stdout.fileno(), sink.stdin.fileno(), options, handler)
    pump.run()
    sink.stdin.close()
    moved = int(sink.stdout.read())
    sink.wait()
    source.wait()
    seconds = time.perf_counter() - began
    assert moved == size and pump.records == LINES and handler.checkpoints == LINES // EVERY
    return seconds


def with_cat(path: Path, size: int) -> float:
    """Move everything through `cat`; return the seconds it took."""
    began = time.perf_counter()
    source, sink = started(path)
    middle = subprocess.Popen(["cat"], stdin=source.stdout, stdout=sink.stdin)
    assert source.stdout is not None and sink.stdin is not None and sink.stdout is not None
    source.stdout.close()
    sink.stdin.close()
    moved = int(sink.stdout.read())
    for process in (source, middle, sink):
        process.wait()
    seconds = time.perf_counter() - began
    assert moved == size
    return seconds


def main() -> int:
    """Measure, print, and return 0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        size = write_rows(path)
        with_cat(path, size)
        with_pump(path, size)
        pumped, catted = [], []
        for _ in range(ROUNDS):
            catted.append(with_cat(path, size))
            pumped.append(with_pump(path, size))
    for name, times in (("cat", catted), ("pump", pumped)):
        median = statistics.median(times)
        print(
            f"{name:<5} {LINES / median / 1e6:5.2f} M lines/s  {size / median / 1e6:6.0f} MB/s  "
            f"median {median:.2f} s of {', '.join(f'{each:.2f}' for each in times)}"
        )
    print(
        f"pump / cat: {statistics.median(catted) / statistics.median(pumped):.2f} (at least 1.0 is the aim; "
        f"{os.cpu_count()} cores)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
