"""`make quick`: what it selects, and that a test which needs more than the test process cannot be among it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quick import QUICK, _has_space

ROOT = Path(__file__).resolve().parent.parent
TESTS = """
import os, subprocess, pytest

@pytest.fixture(scope="session")
def postgres():
    return None

def test_in_process(pytestconfig, tmp_path):
    from hypothesis import settings
    from tests import quick
    hurried = pytestconfig.option.quick
    assert (settings().max_examples == quick.EXAMPLES) == hurried
    assert tmp_path.is_relative_to(quick.MEMORY) == (hurried and quick._has_space(quick.MEMORY))

def test_program():
    subprocess.run(["true"], check=True)

def test_program_in_a_thread():
    import threading
    found = []
    def start():
        try:
            os.posix_spawn("/bin/true", ["true"], {})
        except RuntimeError as problem:
            found.append(problem)
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert not found, found

@pytest.mark.processes
def test_marked():
    subprocess.run(["true"], check=True)
"""


@pytest.fixture
def project(tmp_path):
    """A project with a quick folder and another one."""
    for folder in ("tests/unit", "tests/e2e"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib -p tests.quick\nmarkers = processes\n soak\ntestpaths = tests\n"
    )
    (tmp_path / "tests/unit/test_a.py").write_text(TESTS)
    (tmp_path / "tests/e2e/test_b.py").write_text(TESTS)
    return tmp_path


def run(project, *arguments):
    """Run pytest in a project; return its outcomes by path and test."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_DEBUG_TEMPROOT", None)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=100)
    found = re.findall(r"^tests/(\w+)/\S+::test_(\w+) (PASSED|FAILED)", done.stdout, re.MULTILINE)
    return {f"{folder} {name}": outcome for folder, name, outcome in found}, done.stdout + done.stderr


def test_a_quick_test_that_starts_a_program_fails_and_no_other_does(project):
    outcomes, said = run(project)
    assert outcomes == {
        "unit in_process": "PASSED",
        "unit program": "FAILED",
        "unit program_in_a_thread": "FAILED",
        "unit marked": "PASSED",
        "e2e in_process": "PASSED",
        "e2e program": "PASSED",
        "e2e program_in_a_thread": "PASSED",
        "e2e marked": "PASSED",
    }, said
    assert "mark it with pytest.mark.processes" in said


def test_quick_selects_the_quick_folders_without_what_is_marked(project):
    outcomes, said = run(project, "--quick", "-k", "not program")
    assert outcomes == {"unit in_process": "PASSED"}, said


def test_a_quick_test_cannot_ask_for_a_service(project):
    (project / "tests/unit/test_a.py").write_text(f"{TESTS}\ndef test_service(postgres):\n    pass\n")
    outcomes, said = run(project)
    assert outcomes == {}
    assert "test_a.py::test_service needs postgres: mark it with pytest.mark.processes" in said


@pytest.mark.parametrize("pattern", QUICK)
def test_every_pattern_finds_something(pattern):
    assert list(ROOT.glob(pattern))


@pytest.mark.parametrize(
    ("flags", "free", "enough"), [(0, 1 << 30, True), (os.ST_NOEXEC, 1 << 30, False), (0, 1 << 26, False)]
)
def test_files_go_to_memory_where_it_has_space_and_runs_programs(tmp_path, monkeypatch, flags, free, enough):
    found = os.statvfs_result((4096, 4096, 0, 0, free // 4096, 0, 0, 0, flags, 255))
    monkeypatch.setattr(os, "statvfs", lambda folder: found)
    assert _has_space(tmp_path) == enough


def test_a_system_without_files_in_memory_keeps_them_where_they_are(tmp_path):
    assert not _has_space(tmp_path / "none")
