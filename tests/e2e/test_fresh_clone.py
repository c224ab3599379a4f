"""Two commands in a fresh clone, in a folder with a space in its name; the second time without a package index.

Takes minutes and a package index: part of `make soak`.
"""

import os
import subprocess

import pytest

from tests.e2e.commands import ROOT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def make(folder, *arguments, **env):
    """Type `make ARGUMENTS` with the machine's own programs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VIRTUAL_ENV"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**clean, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1500,
    )


def test_make_demo_and_make_test_work_twice_and_the_second_time_without_an_index(tmp_path):
    clone = tmp_path / "a fresh clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    for env in ({}, {"PIP_NO_INDEX": "1", "npm_config_offline": "true"}):
        for arguments in (["demo"], ["test", "ARGS=tests/unit tests/test_project.py -q"]):
            done = make(clone, *arguments, **env)
            assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-3000:])
