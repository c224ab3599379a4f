"""Run of many tasks: seconds until all of them run, private memory and processor time of all processes.

Each task is `counter` to `log`, which need no server, so that the figures are those of the host and of the processes of
providers. One side forks the processes from one that has loaded (as `dstream run` does on Linux), the other starts each
on its own; they alternate. Private memory is what a process shares with no other: memory that a fork shares until it
writes to it counts once, with the process that was forked. Idle is a run whose inputs wait for an hour.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CONFIGURATION = """task "t" {{
  count = {count}
  input {{
    provider = "counter"
    config {{
      interval = {interval}
    }}
  }}
  output {{
    provider = "log"
  }}
}}
"""
ALONE = """
import sys
import dstream.run.fork_servers
dstream.run.fork_servers.CAN_FORK = False
from dstream.cli import main
sys.argv[0] = "dstream"
main()
"""
TARGETS = (3.0, 4.0, 0.1)
"""Seconds until all 100 tasks run, MB for each, cores while idle."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 600


@dataclass(frozen=True)
class Measured:
    """One run."""

    seconds: float
    """Until all tasks run."""
    starting: float
    """Seconds of the processor until then."""
    megabytes: float
    """Private memory for each task, the host's included."""
    cores: float
    """Processor time in a second, afterwards."""


def tree(root: int) -> Iterator[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    left = [root]
    while left:
        pid = left.pop()
        yield pid
        left += parents.get(pid, [])


def processor(pids: list[int]) -> float:
    """Return the processor time of processes and of those that they have waited for, in seconds."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS


def private(pids: list[int]) -> float:
    """Return the memory that each process has for itself, in MB."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return total / 1024


def run(command: list[str], folder: Path, count: int, watched: float) -> Measured:
    """Start all tasks, wait until they run, and watch them."""
    shutil.rmtree(folder / ".dstream", ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with subprocess.Popen(
        [*command, "run", "t", "-unapplied"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as host:
        assert host.stderr is not None
        alarm = subprocess.Popen(["/bin/sh", "-c", f"sleep {_PATIENCE}; kill -9 {host.pid}"], start_new_session=True)
        running = 0
        while running < count:
            line = host.stderr.readline()
            if not line:
                raise SystemExit(f"the run ended after {running} tasks had started")
            running += ": running " in line
        seconds = time.perf_counter() - start
        reader = subprocess.Popen(["cat"], stdin=host.stderr, stdout=subprocess.DEVNULL)
        pids = list(tree(host.pid))
        starting = processor(pids)
        time.sleep(2.0)
        before, since = processor(pids), time.perf_counter()
        time.sleep(watched)
        cores = (processor(pids) - before) / (time.perf_counter() - since)
        megabytes = private(pids) / count
        host.send_signal(signal.SIGINT)
        host.wait()
        reader.wait()
        os.killpg(alarm.pid, signal.SIGKILL)
        alarm.wait()
    return Measured(seconds, starting, megabytes, cores)


def main() -> int:
    """Print the table; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--watch", type=float, default=10.0, help="seconds during which an idle run is watched")
    parser.add_argument("--interval", type=int, default=3_600_000, help="milliseconds between two records of a task")
    parser.add_argument("--forked", action="store_true", help="leave out the processes that start on their own")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dstream-run-tasks-"))
    (folder / "dstream.hcl").write_text(CONFIGURATION.format(count=options.tasks, interval=options.interval))
    sides = {"forked": [str(Path(sys.executable).parent / "dstream")], "alone": [sys.executable, "-c", ALONE]}
    if options.forked:
        del sides["alone"]
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    try:
        for _ in range(options.rounds):
            for name, command in sides.items():
                found[name].append(run(command, folder, options.tasks, options.watch))
    finally:
        shutil.rmtree(folder)
    print("         all run      processor    MB a task   cores afterwards")
    medians = {}
    for name, rounds in found.items():
        figures = [median(getattr(each, part) for each in rounds) for part in Measured.__dataclass_fields__]
        medians[name] = figures
        print(f"{name:8} {figures[0]:6.2f} s    {figures[1]:6.2f} s    {figures[2]:6.2f}      {figures[3]:6.3f}")
    if len(medians) == 2:
        ratios = [old / new for old, new in zip(medians["alone"], medians["forked"], strict=True)]
        print("ratio   " + "     ".join(f"{ratio:6.1f}" for ratio in ratios))
    print("target  {:6.2f} s                {:6.2f}      {:6.3f}".format(*TARGETS))
    got = medians["forked"]
    return int(options.tasks == 100 and (got[0] > TARGETS[0] or got[2] > TARGETS[1] or got[3] > TARGETS[2]))


if __name__ == "__main__":
    sys.exit(main())
