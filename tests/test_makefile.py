"""`make` on a fresh machine: what it says when something is missing, and when it installs and when not.

The interpreter here is a stand-in that writes down how it is called, so that nothing is really installed.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("make", "sh", "echo", "cat", "cksum", "dirname", "sed", "rm", "mkdir", "cp", "env", "printf")

STAND_IN = """#!/bin/sh
# Stands in for Python {version}: answers as it is told, and writes down what it is asked to install.
case "$*" in
*"version_info[:2] <="*) exit {supported} ;;
*"import venv, ensurepip"*) exit {venv} ;;
*"print("*) echo "{version}" ;;
"--version") echo "Python {version}.0" ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo venv >>"{log}" ;;
*"pip install"*) echo "pip: $*" >>"{log}"; exit {pip} ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """A machine with make and a shell, and the project in a folder whose name has spaces."""
    project = tmp_path / "my  project"
    for name in (".ci", "providers/counter"):
        (project / name).mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements-demo.lock", "pyproject.toml", ".ci/setup.sh"):
        shutil.copy(ROOT / name, project / name)
    shutil.copy(ROOT / "providers/counter/pyproject.toml", project / "providers/counter")
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (programs / tool).symlink_to(found)
    return Machine(project, programs, tmp_path / "log")


class Machine:
    """Where `make` is typed, with these programs alone."""

    def __init__(self, project: Path, programs: Path, log: Path) -> None:
        self.project, self.programs, self.log = project, programs, log

    def python(self, name="python3", version="3.12", *, supported=True, venv=True, pip=True):
        """Put a stand-in for an interpreter on the PATH."""
        text = STAND_IN.format(
            version=version, log=self.log, supported=int(not supported), venv=int(not venv), pip=int(not pip)
        )
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def make(self, *arguments):
        """Type `make ARGUMENTS`."""
        return subprocess.run(
            ["make", *arguments],
            cwd=self.project,
            env={"PATH": str(self.programs), "HOME": str(self.project)},
            capture_output=True,
            text=True,
            timeout=30,
        )

    def calls(self):
        """What was made and installed since the last look."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return found


def message(done):
    """The one line that the user gets, without make's own."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_make_alone_lists_the_targets_and_needs_no_python(machine):
    done = machine.make()
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert {"help", "demo", "test", "check", "bench", "soak", "fuzz", "clean"} <= set(listed)
    assert not (machine.project / ".venv").exists()


def test_a_machine_without_python_gets_one_line_that_says_what_to_install(machine):
    done = machine.make("setup")
    assert done.returncode != 0
    assert "Python 3.11 to 3.14" in message(done)
    assert "make PYTHON=" in message(done)


def test_a_python_that_is_too_old_does_not_count(machine):
    machine.python(version="3.9", supported=False)
    assert "none was found" in message(machine.make("setup"))


def test_a_newer_python_beside_an_old_one_is_found(machine):
    machine.python(version="3.9", supported=False)
    machine.python("python3.13", "3.13")
    assert machine.make("setup").returncode == 0
    assert machine.calls()[0] == "venv"


def test_a_python_without_venv_gets_one_line_that_names_the_package(machine):
    machine.python(venv=False)
    assert "apt-get install python3.12-venv" in message(machine.make("setup"))
    assert not (machine.project / ".venv").exists()


def test_a_python_that_was_named_and_does_not_run_is_an_error_and_no_other_is_taken(machine):
    machine.python()
    assert "PYTHON=/no/such/python" in message(machine.make("setup", "PYTHON=/no/such/python"))


def test_the_named_python_may_be_in_a_folder_with_a_space(machine):
    elsewhere = machine.programs.parent / "other place"
    elsewhere.mkdir()
    path = machine.python(version="3.11").rename(elsewhere / "python")
    assert machine.make("setup", f"PYTHON={path}").returncode == 0


def test_the_second_time_nothing_is_installed_so_no_network_is_needed(machine):
    machine.python()
    assert machine.make("setup").returncode == 0
    first = machine.calls()
    assert first[0] == "venv"
    assert "--require-hashes -r requirements.lock" in first[1]
    assert first[2].endswith("-e . -e providers/counter")
    assert machine.make("setup").returncode == 0
    assert machine.calls() == []


def test_the_demo_installs_its_part_and_what_comes_later_the_rest(machine):
    machine.python()
    machine.make("demo")  # it ends where the stand-in has nothing to tell
    first = machine.calls()
    assert "-r requirements-demo.lock" in first[1] and "--no-compile" in first[1]
    assert "-e providers/postgres" in first[2] and "mssql" not in first[2]
    machine.make("demo")
    assert machine.calls() == []
    assert machine.make("setup").returncode == 0
    later = machine.calls()
    assert [call.split(":")[0] for call in later] == ["pip", "pip"]
    assert "-r requirements.lock" in later[0] and "--no-compile" not in later[0]
    machine.make("demo")
    assert machine.calls() == []


def test_an_installation_shows_what_it_is_at(machine):
    collecting = "".join(f"Collecting package-{number}\\n" for number in range(60))
    machine.python().write_text(
        machine.python().read_text().replace("exit 0 ;;\nesac", f"printf '{collecting}' ;;\nesac")
    )
    done = machine.make("setup")
    assert done.returncode == 0, done.stderr
    assert "Installing up to" in done.stdout
    assert "  25 packages so far\n  50 packages so far\n" in done.stdout


def test_a_changed_lock_file_is_installed_into_the_same_environment(machine):
    machine.python()
    machine.make("setup")
    machine.calls()
    with (machine.project / "requirements.lock").open("a") as lock:
        lock.write("# renewed\n")
    assert machine.make("setup").returncode == 0
    assert [call.split(":")[0] for call in machine.calls()] == ["pip", "pip"]


def test_an_environment_that_was_moved_is_made_anew(machine):
    machine.python()
    machine.make("setup")
    machine.calls()
    machine.project = machine.project.rename(machine.project.with_name("moved"))
    assert machine.make("setup").returncode == 0
    assert machine.calls()[0] == "venv"


def test_an_installation_that_failed_says_so_and_is_taken_up_again(machine):
    machine.python(pip=False)
    done = machine.make("setup")
    assert done.returncode != 0
    assert "could not be installed" in message(done)
    machine.calls()
    (machine.project / ".venv/bin/python").unlink()
    machine.python()
    assert machine.make("setup").returncode == 0
    assert "pip" in "".join(machine.calls())


def test_clean_removes_what_was_made(machine):
    machine.python()
    machine.make("setup")
    for tool in ("find",):
        os.symlink(shutil.which(tool), machine.programs / tool)
    assert machine.make("clean").returncode == 0
    assert not (machine.project / ".venv").exists()
