"""A pytest plugin that shows where the processor time of a run goes: `make test ARGS='-p tests.accounting'`.

It adds up user and system time, in seconds, of the test process and of the child processes that it waited for, and
counts the programs that a test starts directly. The time of a session fixture belongs to the test that sets it up,
or, for its end, to the worker's last test. A child that outlives its test, such as a database, is counted when it
ends. With `DSTREAM_TEST_TIMES=FILE`, each test's figures are written to that file as well, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services import command_server

NAME = "processor time"
SHOWN = 25
"""How many of the most expensive tests are listed."""
_starts = 0


@dataclass(slots=True)
class Spent:
    """Seconds of processor time in the test process and in its children, seconds by the clock, and programs started."""

    own: float = 0.0
    children: float = 0.0
    clock: float = 0.0
    starts: int = 0
    tests: int = 0

    def add(self, other: Spent) -> None:
        """Add another to this."""
        self.own += other.own
        self.children += other.children
        self.clock += other.clock
        self.starts += other.starts
        self.tests += other.tests

    @property
    def processor(self) -> float:
        """All processor time."""
        return self.own + self.children

    def __str__(self) -> str:
        figures = f"{self.processor:9.1f} {self.own:9.1f} {self.children:9.1f} {self.clock:9.1f}"
        return f"{figures} {self.starts:7} {self.tests:6}"


def _count_start(event: str, arguments: tuple[Any, ...]) -> None:
    global _starts
    if event == "subprocess.Popen":
        _starts += 1


def _seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _now() -> tuple[float, float, int]:
    served = command_server.served
    children = _seconds(resource.RUSAGE_CHILDREN) + served.processor
    return _seconds(resource.RUSAGE_SELF), children, _starts + served.commands


_last = (0.0, 0.0, 0)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count; whatever happens before the first test is the start of the worker."""
    sys.addaudithook(_count_start)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Write into the report of each phase what it took."""
    global _last
    now = _now()
    report: Any = yield
    if any(name == NAME for name, _ in report.user_properties):
        return report
    own, children, starts = (after - before for after, before in zip(now, _last, strict=True))
    spent = Spent(own, children, call.duration, round(starts), int(call.when == "call"))
    report.user_properties.append((NAME, astuple(spent)))
    _last = _now()
    return report


def pytest_runtest_logstart() -> None:
    """Leave the time between two tests (collection, above all) out of the next one."""
    global _last
    if _last == (0.0, 0.0, 0):
        _last = _now()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the sums for each folder, and the most expensive tests."""
    if hasattr(terminalreporter.config, "workerinput"):
        return  # each worker of xdist has a reporter as well, of which nothing is seen
    folders: dict[str, Spent] = defaultdict(Spent)
    tests: dict[str, Spent] = defaultdict(Spent)
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, figures in getattr(report, "user_properties", ()):
            if name == NAME:
                spent = Spent(*figures)
                tests[report.nodeid].add(spent)
                folders[str(Path(report.nodeid.partition("::")[0]).parent)].add(spent)
                folders["all"].add(spent)
    terminalreporter.section(NAME)
    heading = f"{'processor':>9} {'own':>9} {'children':>9} {'clock':>9} {'starts':>7} {'tests':>6}"
    terminalreporter.line(heading)
    for name, spent in sorted(folders.items(), key=lambda each: -each[1].processor):
        terminalreporter.line(f"{spent}  {name}")
    terminalreporter.line("")
    expensive = sorted(tests.items(), key=lambda each: -each[1].processor)[:SHOWN]
    for name, spent in expensive:
        terminalreporter.line(f"{spent}  {name}")
    if file := os.environ.get("DSTREAM_TEST_TIMES"):
        with Path(file).open("a") as lines:
            for name, spent in tests.items():
                lines.write(
                    json.dumps({"test": name, **dict(zip(Spent.__slots__, astuple(spent), strict=True))}) + "\n"
                )
