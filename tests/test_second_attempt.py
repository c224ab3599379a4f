"""The second attempt at failed tests: which tests get one, what it changes, and what the log ends with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLAKY = """
import pathlib, pytest
place = pathlib.Path(__file__).parent

@pytest.mark.parametrize("n", range({flaky}))
def test_flaky(n):
    seen = place / f"seen{{n}}"
    first = not seen.exists()
    seen.touch()
    assert not first, f"the first attempt at {{n}}, whose text is longer than a line of the terminal is: {{'x' * 80}}"

@pytest.fixture
def breaks_at_first():
    yield
    seen = place / "torn down"
    first = not seen.exists()
    seen.touch()
    assert not first, "the teardown"
"""
PASSED = "PASSED ONLY AT THE SECOND ATTEMPT: test_a.py::test_"


def run(folder, flaky=2, more="", *arguments, option="--second-attempt"):
    """Run tests that fail the first time they are run; return the exit code and the lines of the log."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p tests.second_attempt\n")
    (folder / "test_a.py").write_text(FLAKY.format(flaky=flaky) + more)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", option, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_what_passes_at_the_second_attempt_does_not_fail_the_run_and_is_listed(tmp_path, workers):
    code, log = run(tmp_path, 2, "\ndef test_good():\n    pass\n", *workers)
    assert code == 0, log
    text = "\n".join(log)
    assert "FAILURES" not in text
    heading = next(n for n, line in enumerate(log) if line.strip("= ") == "passed only at the second attempt")
    assert any("assert not first, f" in line for line in log[heading:])
    count, *last = log[-4:]
    assert "1 passed, 2 passed only at the second attempt" in count
    assert sorted(last[:2]) == [
        f"{PASSED}flaky[{n}]: AssertionError: the first attempt at {n}, whose text is longer "
        f"than a line of the terminal is: {'x' * 80}"
        for n in range(2)
    ]
    assert last[2] == "A test that passes only at the second attempt is a defect: file it."


def test_what_fails_twice_fails_the_run_and_is_named_in_the_last_line(tmp_path):
    code, log = run(tmp_path, 1, "\ndef test_bad():\n    assert 1 == 2, 'always'\n")
    assert code == 1, log
    assert "1 failed, 1 passed only at the second attempt" in log[-4]
    assert log[-3] == "FAILED: test_a.py::test_bad: AssertionError: always"
    assert log[-2].startswith(f"{PASSED}flaky[0]: ")


def test_a_failed_teardown_is_repeated_with_its_test(tmp_path):
    code, log = run(tmp_path, 0, "\ndef test_good(breaks_at_first):\n    pass\n")
    assert code == 0, log
    assert log[-2] == f"{PASSED}good: AssertionError: the teardown"


def test_a_test_that_is_skipped_at_the_second_attempt_has_not_passed(tmp_path):
    skips = (
        "\ndef test_b():\n    assert place.joinpath('b').exists() or place.joinpath('b').touch()\n    pytest.skip()\n"
    )
    code, log = run(tmp_path, 0, skips)
    assert code == 1, log
    assert log[-1].startswith("FAILED: test_a.py::test_b: ")


@pytest.mark.parametrize(
    ("flaky", "more", "arguments"),
    [
        (6, "", ()),
        (2, "", ("-x",)),
        (1, "\ndef test_stops():\n    raise KeyboardInterrupt\n", ()),
    ],
    ids=["too many", "cut short", "interrupted"],
)
def test_no_second_attempt_where_it_would_say_nothing(tmp_path, flaky, more, arguments):
    code, log = run(tmp_path, flaky, more, *arguments)
    assert code in (1, 2)
    assert not any("second attempt" in line for line in log)
    assert [line for line in log[-6:] if line.startswith("FAILED: test_a.py::test_flaky[")]


def test_a_file_that_cannot_be_collected_is_not_repeated(tmp_path):
    (tmp_path / "test_b.py").write_text("import nowhere\n")
    code, log = run(tmp_path, 1, "", "--continue-on-collection-errors")
    assert code == 1
    assert not any("second attempt" in line for line in log)


def test_nothing_is_repeated_unless_it_is_asked_for(tmp_path):
    code, log = run(tmp_path, 1, option="-q")
    assert code == 1
    assert log[-1].startswith("FAILED: test_a.py::test_flaky[0]: AssertionError: the first attempt")
