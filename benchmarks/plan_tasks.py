"""Plan of many tasks: wall time, time of the processor and peak memory of `dstream plan`, by the number of tasks.

Each task is `counter` to `log`, which need no server, so that the figures are those of the host and of starting
providers. The command is the one that a user types, started again in each round; its output goes to a file. Memory is
the sum, over the processes, of the most that each had.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.plan_apply import Measured, Side

CONFIGURATION = """task "t" {{
  count = {count}
  input {{
    provider = "counter"
    config {{
      interval = 100
    }}
  }}
  output {{
    provider = "log"
  }}
}}
"""
TARGETS = {400: (2.0, 150.0), 4000: (12.0, 300.0)}
"""Seconds and MB that so many tasks may take."""


def measure(counts: list[int], rounds: int) -> dict[int, list[Measured]]:
    """Return the rounds by the number of tasks."""
    folder = Path(tempfile.mkdtemp(prefix="dstream-plan-tasks-"))
    side = Side("dstream", [str(Path(sys.executable).parent / "dstream")], folder, "task", "dstream.hcl", "", 1200.0)
    found = {}
    try:
        for count in counts:
            (folder / side.file).write_text(CONFIGURATION.format(count=count))
            side.run("plan")
            found[count] = [side.run("plan") for _ in range(rounds)]
    finally:
        shutil.rmtree(folder)
    return found


def main() -> int:
    """Print the table; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10, 100, 400, 4000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    missed = False
    print("tasks   wall       processor  memory")
    for count, rounds in measure(options.tasks, options.rounds).items():
        seconds, megabytes = median(each.seconds for each in rounds), median(each.megabytes for each in rounds)
        processor = median(each.processor for each in rounds)
        print(f"{count:<7} {seconds:6.2f} s   {processor:6.2f} s   {megabytes:6.0f} MB", end="")
        if count in TARGETS:
            longest, largest = TARGETS[count]
            missed |= seconds > longest or megabytes > largest
            print(f"   (target: {longest:g} s, {largest:g} MB)", end="")
        print()
    return missed


if __name__ == "__main__":
    sys.exit(main())
