"""A pytest plugin that deals the tests out to the workers of xdist: long files first and evenly, short ones at the end.

xdist cuts the list of tests into as many parts as there are workers, and then lets a worker that has nothing left take
tests from the end of another's part. So each part begins with its share of the longest files, whole, since tests of a
file share services, and ends with short tests, which are easy to take. Otherwise the run ends with one worker that
goes through a long file alone.

`tests/longest.txt` has the seconds that the longest files take. To write it anew from a run with
`DSTREAM_TEST_TIMES=FILE` and `-p tests.accounting`: `python -m tests.longest_first FILE`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

LONGEST = Path(__file__).with_name("longest.txt")
LEAST = 10.0
"""Seconds from which on a file is long."""


def read() -> dict[str, float]:
    """Return the seconds of the longest files, by path."""
    lines = (line.split() for line in LONGEST.read_text().splitlines())
    return {path: float(seconds) for seconds, path in lines}


def deal(files: Sequence[str], seconds: Mapping[str, float], workers: int) -> list[int]:
    """Return the order of tests, given the file of each, as their positions.

    Each worker gets as many tests as xdist gives it, and of the long files those that make their sums alike.
    """
    of_file: dict[str, list[int]] = defaultdict(list)
    for at, file in enumerate(files):
        of_file[file].append(at)
    rooms = [(len(files) + worker) // workers for worker in range(workers)]
    parts: list[list[int]] = [[] for _ in rooms]
    sums = [0.0] * workers
    rest: list[int] = []
    for file in sorted(of_file, key=lambda each: -seconds.get(each, 0.0)):
        tests = of_file[file]
        fitting = [worker for worker in range(workers) if len(parts[worker]) + len(tests) <= rooms[worker]]
        if file not in seconds or not fitting:
            rest += tests
            continue
        worker = min(fitting, key=lambda each: sums[each])
        parts[worker] += tests
        sums[worker] += seconds[file]
    rest.sort()
    for part, room in zip(parts, rooms, strict=True):
        free = room - len(part)
        part += rest[:free]
        rest = rest[free:]
    return [at for part in parts for at in part]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests, in a worker."""
    given = getattr(config, "workerinput", None)
    if given is not None:
        files = [item.nodeid.partition("::")[0] for item in items]
        items[:] = [items[at] for at in deal(files, read(), given["workercount"])]


def main(times: Path) -> None:
    """Write `tests/longest.txt` from the figures of a run."""
    seconds: Counter[str] = Counter()
    for line in times.read_text().splitlines():
        found = json.loads(line)
        seconds[found["test"].partition("::")[0]] += found["clock"]
    lines = (f"{spent:.0f} {file}\n" for file, spent in seconds.most_common() if spent >= LEAST)
    LONGEST.write_text("".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
