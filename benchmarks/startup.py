"""How long a user waits for `dstream --help` and for the plan of two tasks, with local and with remote state.

Wall time from starting the program to its end, median of several runs; the cases alternate, so that whatever else
the machine does hits all of them. Processor time, providers included, says what remains on a quiet machine.
`python -c pass` is the control: nothing that is written in Python can be faster. Byte code is kept between runs.
Providers have been probed once before (their answers are cached by content).
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from azure.storage.blob import BlobServiceClient

from tests.services.azurite import Azurite, azurite_server
from tests.services.postgres import EmbeddedPostgres

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent
TABLES = "CREATE TABLE customers (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY)"

TWO_TASKS = """
task "one" {
  input {
    provider = "counter"
    config { max_count = 5 }
  }
  output { provider = "console" }
}

task "two" {
  input {
    provider = "counter"
    config { max_count = 5 }
  }
  output { provider = "log" }
}
"""

BACKEND = """
dstream {
  backend "azurerm" {
    container_name = "bench"
    key            = "bench.json"
  }
}
"""


@dataclass(frozen=True)
class Case:
    """One command, and how long it may take at most (ms; 0: a control)."""

    name: str
    command: list[str]
    folder: Path
    target: int
    environment: dict[str, str]
    first: bool = False
    """Whether only the time to the first line is looked at, on the standard error."""

    def measure(self) -> tuple[float, float]:
        """Milliseconds of wall time and of processor time (providers included) of one run; exits when it fails."""
        if self.first:
            return self.first_line()
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            self.command, cwd=self.folder, env={**ENVIRONMENT, **self.environment}, capture_output=True, check=False
        )
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{self.name}: ended with {done.returncode}\n{done.stderr.decode()}")
        processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return wall * 1000, processor * 1000

    def first_line(self) -> tuple[float, float]:
        """Milliseconds of wall time and of processor time until something is said."""
        start = time.perf_counter()
        process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env={**ENVIRONMENT, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stderr is not None
            process.stderr.readline()
            wall = time.perf_counter() - start
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            process.stderr.read()
        return wall * 1000, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1000


def cases(folder: Path, azurite: Azurite, server: EmbeddedPostgres) -> list[Case]:
    """Lay out the folders and return what to measure."""
    dstream = str(PROGRAMS / "dstream")
    database = {"DATABASE_URL": server.create_database("shop")}
    server.execute(TABLES, dbname="shop")
    storage = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container("bench")
    demo = (ROOT / "examples/postgres-to-jsonl/dstream.hcl").read_text()
    for name, text in (
        ("local", TWO_TASKS),
        ("azurerm", BACKEND + TWO_TASKS),
        ("demo", demo),
        ("demo-azurerm", BACKEND + demo),
    ):
        (folder / name).mkdir()
        (folder / name / "dstream.hcl").write_text(text.replace("bench.json", f"{name}.json"))
    plan = [dstream, "plan"]
    return [
        Case("python -c pass (control)", [sys.executable, "-c", "pass"], folder, 0, {}),
        Case("dstream --help", [dstream, "--help"], folder, 120, {}),
        Case("plan, its first word", plan, folder / "local", 300, {}, first=True),
        Case("plan, two tasks, local", plan, folder / "local", 600, {}),
        Case("plan, two tasks, azurerm", plan, folder / "azurerm", 900, storage),
        Case("plan, the demo's, local", plan, folder / "demo", 600, database),
        Case("plan, the demo's, azurerm", plan, folder / "demo-azurerm", 900, {**database, **storage}),
    ]


def main() -> int:
    """Measure and print a table; exit code 1 if a target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=11)
    options.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dstream-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        azurite = stack.enter_context(azurite_server())
        server = stack.enter_context(EmbeddedPostgres())
        found = cases(folder, azurite, server)
        measured: dict[str, list[tuple[float, float]]] = {case.name: [] for case in found}
        for case in found:
            case.measure()
        for _ in range(given.runs):
            for case in found:
                measured[case.name].append(case.measure())
    missed = False
    print(f"{'':28} {'median':>8} {'fastest':>8} {'processor':>9} {'target':>8}")
    for case in found:
        walls = [wall for wall, _ in measured[case.name]]
        processor = median(processor for _, processor in measured[case.name])
        late = bool(case.target) and median(walls) > case.target
        missed = missed or late
        target = f"{case.target:5d} ms" if case.target else ""
        row = f"{case.name:28} {median(walls):5.0f} ms {min(walls):5.0f} ms {processor:6.0f} ms {target:>8}"
        print(row + ("  MISSED" if late else ""))
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
