"""A pytest plugin that runs failed tests a second time, alone, and ends the log with a short list of what failed.

With `--second-attempt` (`make test`), when at most `MOST` tests have failed, each of them is run once more, in a
process of its own, one after the other, after the workers have ended. What passes then is listed as "passed only at
the second attempt" with the text of its first failure, and no longer fails the run. More failures than that have a
cause in common: they are not run again. Neither is anything after an error of collection or a run that was cut short
(`-x`, an interrupt).

Each entry in that list is a defect, of the test or of the program: file it. The second attempt is there because a run
of the suite on a busy machine answers one question, whether a change broke something, and one test in five thousand
that counts on time must not hide that answer.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

MOST = 5
"""How many failed tests are run again."""
PASSED = "passed only at the second attempt"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --second-attempt."""
    parser.addoption(
        "--second-attempt",
        action="store_true",
        help=f"run up to {MOST} failed tests again, see tests/second_attempt.py",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Run failed tests again, after the workers and the session's fixtures have ended; change the run's exit code."""
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if not session.config.option.second_attempt or terminal is None or hasattr(session.config, "workerinput"):
        return
    names = _to_repeat(session, terminal)
    if not names:
        return
    terminal.write_sep("=", f"second attempt: {len(names)} of the tests failed")
    passed = set()
    for name in names:
        terminal.write_line(f"second attempt at {name}")
        ended, passes = _attempt(session.config, name)
        terminal.write_line(ended)
        if passes:
            passed.add(name)
    for category in ("failed", "error"):
        reports = terminal.stats.get(category, [])
        terminal.stats.setdefault(PASSED, []).extend(report for report in reports if report.nodeid in passed)
        terminal.stats[category] = [report for report in reports if report.nodeid not in passed]
    if len(passed) == len(names):
        session.exitstatus = pytest.ExitCode.OK


def _to_repeat(session: pytest.Session, terminal: Any) -> list[str]:
    """Return the node IDs of the failed tests, or nothing where a second attempt would say nothing."""
    reports = _failures(terminal)
    names = list(dict.fromkeys(report.nodeid for report in reports))
    complete = session.exitstatus == pytest.ExitCode.TESTS_FAILED and not session.shouldfail and not session.shouldstop
    tests_alone = all(isinstance(report, pytest.TestReport) for report in reports)
    # Something else, such as a floor of the coverage, may have failed the run as well.
    if not complete or not tests_alone or session.testsfailed != len(reports) or len(names) > MOST:
        return []
    return names


def _failures(terminal: Any) -> list[Any]:
    return [*terminal.stats.get("failed", []), *terminal.stats.get("error", [])]


def _attempt(config: pytest.Config, name: str) -> tuple[str, bool]:
    """Run one test in a process of its own; return what was printed, and whether it has passed: a skip is no pass."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml", str(result)]
        command += ["-m", config.option.markexpr] if config.option.markexpr else []
        command += [word for setting in config.option.override_ini or () for word in ("-o", setting)]
        ended = subprocess.run([*command, name], cwd=config.rootpath, capture_output=True, text=True, check=False)
        suite = ElementTree.parse(result).getroot().find("testsuite") if ended.returncode == 0 else None
    passes = suite is not None and suite.get("tests") == "1" and suite.get("skipped") == "0"
    return ended.stdout + ended.stderr, passes


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the first failure of each test that passed at the second attempt."""
    if reports := terminalreporter.stats.get(PASSED):
        terminalreporter.section(PASSED, sep="=", yellow=True, bold=True)
        for report in reports:
            terminalreporter.section(f"{report.nodeid} ({report.when})", sep="_", yellow=True)
            terminalreporter.line(report.longreprtext)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the log with the names of failed tests and the first line of each failure, however long they are."""
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput"):
        return
    for said, reports in (("FAILED", _failures(terminal)), (PASSED.upper(), terminal.stats.get(PASSED, []))):
        for report in reports:
            terminal.write_line(f"{said}: {report.nodeid}: {_first_line(report)}")
    if terminal.stats.get(PASSED):
        terminal.write_line("A test that passes only at the second attempt is a defect: file it.")


def _first_line(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else report.longreprtext).strip().splitlines()
    return lines[0] if lines else ""
