"""A pytest plugin that selects the tests of `make quick` (`pytest --quick`), and holds that none starts a program.

Every test below `QUICK` is one of them, unless it is marked `processes`. What such a test needs is in the test process
alone: the engine's providers run as threads (`tests.services.recorder.in_process`). A quick test that starts a
program, or asks for a service, fails, in `make test` as well.

With --quick, the tests' folders are in memory where the system has a file system there, so that nothing waits for a
disk, and Hypothesis tries `EXAMPLES` examples of each property; `make test` tries all.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest

QUICK = (
    "tests/unit",
    "tests/conformance",
    "tests/state/test_documents.py",
    "tests/state/test_encryption.py",
    "tests/state/test_local.py",
    "tests/registry/test_values.py",
    "providers/*/tests/test_units.py",
    "providers/sdk/tests/test_encoding.py",
    "providers/sdk/tests/test_settings.py",
    "providers/servicebus/tests/test_envelopes.py",
    "providers/servicebus/tests/test_packing.py",
)
"""Files and folders; patterns of paths from the root of the repository."""
SERVICES = {"postgres", "azurite", "azure"}
"""Fixtures that are services."""
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
"""Audit events of programs that are started."""
MEMORY = Path("/dev/shm")
"""A file system in memory, on Linux."""
SPACE = 512 * 1024 * 1024
"""Bytes that must be free there; the tests' folders take 10 MB, and those of the last three runs are kept."""
EXAMPLES = 25
"""Examples of a property; a test that wants more states a multiple of `settings().max_examples`."""
_guarded = False


def _refuse_start(event: str, arguments: tuple[Any, ...]) -> None:
    if _guarded and event in STARTS:
        raise RuntimeError(
            f"a quick test may not start a program ({event}: {arguments[0] if arguments else ''}); "
            "mark it with pytest.mark.processes"
        )


def _is_quick(path: PurePath) -> bool:
    return any(each.match(pattern) for each in (path, *path.parents) for pattern in QUICK)


def _has_space(folder: Path) -> bool:
    """Whether a folder can take the tests' files, some of which must count as executable."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    usable = os.access(folder, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return usable and found.f_bavail * found.f_frsize >= SPACE


def _hurry(config: pytest.Config) -> None:
    """Keep the tests' folders in memory, and try few examples."""
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _has_space(MEMORY):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)
    if not config.getoption("hypothesis_profile", None):
        from hypothesis import settings

        settings.register_profile("quick", settings(), max_examples=EXAMPLES)
        settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --quick."""
    parser.addoption("--quick", action="store_true", help="run the quick tests alone, see tests/quick.py")


def pytest_configure(config: pytest.Config) -> None:
    """Watch what is started; with --quick, select the quick tests, and look for them in their places alone."""
    if config.option.quick:
        _hurry(config)
        config.option.markexpr = "quick"
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            found = sorted({path for pattern in QUICK for path in config.rootpath.glob(pattern)})
            config.args[:] = [str(path) for path in found]
    config.addinivalue_line("markers", "quick: selected by `make quick`; set by the path, see tests/quick.py")
    platform.processor()  # starts `uname` once; clients of Azure's services ask for it
    sys.addaudithook(_refuse_start)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the quick tests; fail where one of them asks for a service."""
    quick: dict[Path, bool] = {}  # matching is slow, and a file has many tests
    for item in items:
        if item.path not in quick:
            quick[item.path] = _is_quick(PurePath(item.path.relative_to(config.rootpath)))
        if not quick[item.path]:
            continue
        if item.get_closest_marker("processes") or item.get_closest_marker("soak"):
            continue
        if asked := SERVICES & set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid} needs {', '.join(asked)}: mark it with pytest.mark.processes")
        item.add_marker("quick")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Guard quick tests, their fixtures included."""
    global _guarded
    _guarded = item.get_closest_marker("quick") is not None
    try:
        return (yield)
    finally:
        _guarded = False
