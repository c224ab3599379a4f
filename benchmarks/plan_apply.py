"""Plan and apply of many objects, beside OpenTofu in the same run: wall time, peak memory, time for each object.

Both sides have the same configuration, one block with `count` (`--shape`: with `for_each` over a computed set, which
OpenTofu evaluates once for each of its instances, or N blocks): OpenTofu with its built-in `terraform_data`, dstream
with `plan_apply_provider.py`, a provider on the SDK that does the same in a process of its own. The commands are those
that a user types, with local state, started again each time; their output goes to a file. Memory is the sum, over the
processes of a side, of the most that each had. Beside the time by the clock stands that of the processor, which says
more on a machine that others use. What takes longer than `--patience` is stopped, and the table says so.

OpenTofu is built once, through the Go module proxy, into the user's cache folder; where there is no Go, or with
`--alone`, dstream is measured alone.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.opentofu import build_opentofu

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """#!{python} -S
import sys
sys.path[:0] = [{root!r}, {sdk!r}]
from benchmarks.plan_apply_provider import run
run(listed={listed})
"""
PROVIDER = 'provider "bench" {\n  provider_path = "./bench"\n}\n'
ROWS = ("create", "no-op plan", "one change", "destroy")
PATIENCE = 1200.0
"""Seconds that one command may take: OpenTofu's destroy of 10,000 objects takes minutes."""
NOOP_TARGET, CREATE_TARGET = 150, 300
"""Microseconds for each object."""


def configuration(kind: str, count: int, shape: str, changed: bool) -> str:
    """Return `count` objects of a type; `changed`: one of them has another input."""
    odd = "changed" if changed else "value of 1"
    if shape == "blocks":
        blocks = (
            f'resource "{kind}" "k{i}" {{\n  input = "{odd if i == 1 else f"value of {i}"}"\n}}\n' for i in range(count)
        )
        return "".join(blocks)
    if shape == "count":
        many, key, one = f"count = {count}", "count.index", "1"
    else:
        outer, inner = -(-count // 1_000), min(count, 1_000)  # neither side's range() takes more than 1,024
        keys = f"flatten([for i in range({outer}) : [for j in range({inner}) : tostring({inner} * i + j)]])"
        many, key, one = f"for_each = toset({keys})", "each.key", '"1"'
    return f'resource "{kind}" "many" {{\n  {many}\n  input = {key} == {one} ? "{odd}" : "value of ${{{key}}}"\n}}\n'


@dataclass
class Measured:
    """One run of one command."""

    seconds: float
    megabytes: float
    processor: float
    """Seconds of the processor, of all processes of the side."""
    stopped: bool = False
    """Whether it took longer than we had patience for: it would have been more."""


class Memory(threading.Thread):
    """Looks every 20 ms at the processes below one, and keeps the most that each had."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._top, self._peaks, self._over = pid, dict[int, int](), threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.02):
            pending = [self._top]
            while pending:
                pid = pending.pop()
                try:
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM"):
                            self._peaks[pid] = int(line.split()[1])
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        pending += map(int, (task / "children").read_text().split())
                except OSError:
                    continue

    def end(self, largest: int) -> float:
        """Return the sum in MB; `largest` is what the system itself says of the largest process, in KB."""
        self._over.set()
        self.join()
        return max(sum(self._peaks.values()), largest) / 1024


@dataclass
class Side:
    """One tool in one folder."""

    name: str
    command: list[str]
    folder: Path
    kind: str
    file: str
    head: str
    patience: float

    def write(self, count: int, shape: str, *, changed: bool = False) -> None:
        """Write the configuration."""
        (self.folder / self.file).write_text(self.head + configuration(self.kind, count, shape, changed))

    def run(self, *arguments: str) -> Measured:
        """Run a command to its end; exit when it fails."""
        log = self.folder / "log"
        start = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self.command, *arguments], cwd=self.folder, stdout=out, stderr=out, env=ENVIRONMENT
            )
            memory = Memory(process.pid)
            stopping = threading.Timer(self.patience, process.kill)
            stopping.start()
            _, status, usage = os.wait4(process.pid, 0)
            stopping.cancel()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        stopped = process.returncode == -signal.SIGKILL and seconds >= self.patience
        if process.returncode and not stopped:
            raise SystemExit(f"{self.name} {' '.join(arguments)}: {status}\n{log.read_text()[-2000:]}")
        return Measured(seconds, memory.end(usage.ru_maxrss), usage.ru_utime + usage.ru_stime, stopped)

    def forget(self) -> None:
        """Take away the state, and so the objects, which are nowhere else."""
        shutil.rmtree(self.folder / ".dstream", ignore_errors=True)
        for file in self.folder.glob("*.tfstate*"):
            file.unlink()


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull}


def dstream(folder: Path, *, listed: bool, patience: float = PATIENCE) -> Side:
    """Return our side, with the provider laid into its folder."""
    folder.mkdir()
    text = PROGRAM.format(python=sys.executable, root=str(ROOT), sdk=str(ROOT / "providers/sdk"), listed=listed)
    (folder / "bench").write_text(text)
    (folder / "bench").chmod(0o755)
    command = [str(Path(sys.executable).parent / "dstream")]
    return Side("dstream", command, folder, "bench_data", "dstream.hcl", PROVIDER, patience)


def opentofu(folder: Path, program: Path, *, patience: float = PATIENCE) -> Side:
    """Return the other side, initialised."""
    folder.mkdir()
    side = Side("OpenTofu", [str(program)], folder, "terraform_data", "main.tf", "", patience)
    side.write(1, "count")
    side.run("init", "-input=false")
    return side


def measure(side: Side, count: int, shape: str) -> dict[str, Measured]:
    """Go through the four rows, as far as patience reaches."""
    side.forget()
    found = {}
    side.write(count, shape)
    found["create"] = side.run("apply", "-auto-approve")
    found["no-op plan"] = side.run("plan")
    side.write(count, shape, changed=True)
    found["one change"] = side.run("apply", "-auto-approve")
    found["destroy"] = side.run("destroy", "-auto-approve")
    return found


def table(count: int, ours: list[dict[str, Measured]], theirs: list[dict[str, Measured]]) -> bool:
    """Print one size; return whether everything is within its limit."""
    held = True
    title = f"{count:,} objects"
    print(
        f"\n{title:26} {'dstream':>9} {'(cpu)':>8} {'OpenTofu':>9} {'(cpu)':>8} {'times':>6}   "
        f"{'MB':>5} {'MB':>6} {'share':>6}   µs each"
    )
    for row in ROWS:
        seconds = median(each[row].seconds for each in ours)
        size = median(each[row].megabytes for each in ours)
        line = f"  {row:24} {seconds:8.2f}s {median(each[row].processor for each in ours):7.2f}s"
        if theirs:
            other = median(each[row].seconds for each in theirs)
            other_size = median(each[row].megabytes for each in theirs)
            more = ">" if any(each[row].stopped for each in theirs) else " "
            line += f"{more}{other:8.2f}s {median(each[row].processor for each in theirs):7.2f}s{more}"
            line += f"{other / seconds:6.1f}   {size:5.0f} {other_size:6.0f} {size / other_size:6.2f}"
            held = held and (count < 10_000 or (other >= 5 * seconds and 2 * size <= other_size))
        else:
            line += f" {'':9} {'':8} {'':6}   {size:5.0f} {'':6} {'':6}"
        each = seconds / count * 1e6
        target = {"create": CREATE_TARGET, "no-op plan": NOOP_TARGET}.get(row)
        missed = target is not None and count >= 10_000 and each > target
        held = held and not missed
        limit = f" (target {target}{', MISSED' if missed else ''})" if target else ""
        print(f"{line}   {each:.0f}{limit}")
    return held


def main() -> int:
    """Measure and print a table for each size; exit code 1 if a target was missed and `--strict` was given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sizes", type=int, nargs="*", default=[100, 1_000, 10_000])
    options.add_argument("--rounds", type=int, default=0, help="default: 5, 3 and 1, by size")
    options.add_argument("--shape", choices=("count", "each", "blocks"), default="count")
    options.add_argument("--alone", action="store_true", help="measure dstream alone")
    options.add_argument("--single", action="store_true", help="a provider that is asked about one object at a time")
    options.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    options.add_argument("--patience", type=float, default=PATIENCE, help="seconds that one command may take")
    options.add_argument("--json", type=Path, help="write what was measured here")
    given = options.parse_args()
    program = None if given.alone else build_opentofu()
    held = True
    written = []
    folder = Path(tempfile.mkdtemp(prefix="dstream-bench-"))
    try:
        sides = [dstream(folder / "ours", listed=not given.single, patience=given.patience)]
        if program is not None:
            sides.append(opentofu(folder / "theirs", program, patience=given.patience))
        for side in sides:
            measure(side, 2, given.shape)
        for count in given.sizes:
            found: dict[str, list[dict[str, Measured]]] = {"dstream": [], "OpenTofu": []}
            for _ in range(given.rounds or (5 if count <= 100 else 3 if count <= 1_000 else 1)):
                for side in sides:
                    found[side.name].append(measure(side, count, given.shape))
            held = table(count, found["dstream"], found["OpenTofu"]) and held
            for name, rounds in found.items():
                for each in rounds:
                    rows = {row: asdict(one) for row, one in each.items()}
                    written.append({"side": name, "count": count, "shape": given.shape, "rows": rows})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.json is not None:
        given.json.write_text(json.dumps(written, indent=1))
    return 1 if given.strict and not held else 0


if __name__ == "__main__":
    sys.exit(main())
