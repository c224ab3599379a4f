"""Two checkouts beside each other, in instructions: `python -m benchmarks.instructions OTHER`.

A time by the clock scatters by a third on a shared machine; the number of instructions that the same commands execute
scatters by less than a hundredth, whatever else runs. Each command is counted by `valgrind --tool=cachegrind`, with
the processes that it starts; what waiting costs is not in it. OTHER is the root of another checkout with its own
`.venv` (`make setup`); without one, this checkout alone is counted. Byte code, parser tables and probe answers are
in their caches: each command has run once before.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import plan_apply
from benchmarks.language import KEYS, configuration
from benchmarks.startup import TWO_TASKS

HERE = Path(__file__).resolve().parent.parent
OBJECTS = 300
LINES = 100_000
"""Records that the pump moves."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"PYTHONHASHSEED": "0", "DATABASE": 'a"b${c}'}
MOVE = """
import pathlib, sys
import benchmarks.pump as pump
pump.LINES = int(sys.argv[2])
path = pathlib.Path(sys.argv[1])
pump.with_pump(path, path.stat().st_size)
"""
ROWS = """
import pathlib, sys
import benchmarks.pump as pump
pump.LINES = int(sys.argv[2])
pump.write_rows(pathlib.Path(sys.argv[1]))
"""


class Checkout:
    """One checkout, whose commands are counted in a folder of their own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.python = str(root / ".venv/bin/python")
        self.dstream = str(root / ".venv/bin/dstream")
        folder.mkdir()

    def run(self, command: list[str], cwd: Path) -> None:
        """Run a command; exit when it fails."""
        done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: ended with {done.returncode}\n{done.stdout}{done.stderr}")

    def count(self, command: list[str], cwd: Path, *, children: bool = True) -> int:
        """The instructions that a command and, with `children`, the processes below it execute in user space."""
        logs = self.folder / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        valgrind += [f"--trace-children={'yes' if children else 'no'}", f"--log-file={logs}/%p"]
        self.run([*valgrind, *command], cwd)
        found = [re.search(r"I\s+refs:\s+([\d,]+)", log.read_text()) for log in logs.iterdir()]
        return sum(int(each[1].replace(",", "")) for each in found if each)

    def help(self) -> dict[str, int]:
        """`dstream --help`."""
        return {"--help": self.count([self.dstream, "--help"], self.folder)}

    def plan(self) -> dict[str, int]:
        """A plan of two tasks, providers included."""
        folder = self.folder / "two"
        folder.mkdir()
        (folder / "dstream.hcl").write_text(TWO_TASKS)
        self.run([self.dstream, "plan"], folder)
        return {"plan, two tasks": self.count([self.dstream, "plan"], folder)}

    def language(self) -> dict[str, int]:
        """Reading and evaluating."""
        found = {}
        for name, what, text in (
            ("1,000 lines", "all", configuration(1_000)),
            ("5,000 lines", "all", configuration(5_000)),
            ("for_each, 10,000 keys", "expand", KEYS),
        ):
            path = self.folder / f"{what}-{len(text)}.hcl"
            path.write_text(text)
            command = [self.python, "-m", "benchmarks.language_once", what, str(path)]
            self.run(command, self.root)
            found[name] = self.count(command, self.root)
        return found

    def objects(self) -> dict[str, int]:
        """Create, no-op plan, one change and destroy, the provider included."""
        folder = self.folder / "objects"
        folder.mkdir()
        provider = folder / "bench"
        text = plan_apply.PROGRAM.format(
            python=self.python, root=str(self.root), sdk=str(self.root / "providers/sdk"), listed=True
        )
        provider.write_text(text)
        provider.chmod(0o755)
        config = folder / "dstream.hcl"

        def write(count: int, *, changed: bool = False) -> None:
            body = plan_apply.configuration("bench_data", count, "count", changed)
            config.write_text(plan_apply.PROVIDER + body)

        apply = [self.dstream, "apply", "-auto-approve"]
        destroy = [self.dstream, "destroy", "-auto-approve"]
        write(2)
        self.run(apply, folder)
        self.run(destroy, folder)
        found = {}
        write(OBJECTS)
        found[f"create {OBJECTS} objects"] = self.count(apply, folder)
        found[f"no-op plan of {OBJECTS}"] = self.count([self.dstream, "plan"], folder)
        write(OBJECTS, changed=True)
        found[f"one change in {OBJECTS}"] = self.count(apply, folder)
        found[f"destroy {OBJECTS}"] = self.count(destroy, folder)
        return found

    def pump(self) -> dict[str, int]:
        """The pump between two processes, which are not counted."""
        rows = self.folder / "rows.jsonl"
        self.run([self.python, "-c", ROWS, str(rows), str(LINES)], self.root)
        command = [self.python, "-c", MOVE, str(rows), str(LINES)]
        return {f"pump, {LINES:,} records": self.count(command, self.root, children=False)}


CASES: tuple[Callable[[Checkout], dict[str, int]], ...] = (
    Checkout.help,
    Checkout.plan,
    Checkout.language,
    Checkout.objects,
    Checkout.pump,
)


def main() -> int:
    """Count and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("other", type=Path, nargs="?", help="the root of another checkout")
    options.add_argument("--only", default="", help="the cases whose names contain this")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="dstream-bench-") as name:
        here = Checkout(HERE, Path(name, "here"))
        other = Checkout(given.other.resolve(), Path(name, "other")) if given.other else None
        print(f"{'million instructions':28} {'other':>10} {'this':>10}  this / other")
        for case in CASES:
            if given.only not in case.__name__:
                continue
            before = case(other) if other is not None else {}
            for title, after in case(here).items():
                line = f"{title:28} {before.get(title, 0) / 1e6:10,.0f} {after / 1e6:10,.0f}"
                print(line + (f"  {after / before[title]:.3f}" if title in before else ""), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
