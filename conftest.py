"""Real services that any test may ask for, each started once per test process and stopped at its end."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

pytest_plugins = ("tests.quick", "tests.second_attempt", "tests.forked_programs", "tests.longest_first")
# The tests start hundreds of Python processes: byte code is worth keeping, whatever the machine's habit is.
# Without it, each run rewrites the assertions of 194 files again, which is most of the time that collection takes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# What a machine has found out itself (`dstream.registry.machine_records`) is kept for one run of the tests, not longer.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="dstream-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)
# A shell that starts them in the background has them ignore the interrupt, and what they start inherits that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A running `EmbeddedPostgres`; make a database of your own in it with `create_database(name)`."""
    from tests.services.postgres import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Any]:
    """A running `Azurite`, with an endpoint and a connection string."""
    from tests.services.azurite import azurite_server

    with azurite_server() as server:
        yield server


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Add up what the kill tests counted, over all workers, and show it."""
    rows: dict[str, Counter[str]] = {}
    for report in terminalreporter.getreports(""):  # those of the teardown, which is when a test has counted
        for name, counts in report.user_properties:
            if name == "kill counts":
                for place, found in counts.items():
                    rows.setdefault(place, Counter()).update(found)
    if not rows:
        return
    terminalreporter.section("kills")
    places = sorted(rows)
    terminalreporter.line(f"{'':72}" + "".join(f"{place:>9}" for place in places) + "      all")
    for what in sorted(set().union(*rows.values())):
        numbers = [rows[place][what] for place in places]
        terminalreporter.line(f"{what:72}" + "".join(f"{number:9}" for number in [*numbers, sum(numbers)]))
