"""What may start a provider, which one is found, and what it sees: typed as a user would type it."""

import os
from pathlib import Path

import pytest

from tests.e2e.commands import dstream

PROVIDER = """#!/bin/sh
# A provider of version 1 that leaves a trace of each start.
echo "$*" >>"{trace}"
env >>"{trace}.env"
while read -r line; do :; done
echo '{{"data":{{"n":1}}}}'
"""


@pytest.fixture
def trace(tmp_path, tmp_path_factory):
    """Where starts of the program `p` are noted: elsewhere, since what is beside a script belongs to its digest."""
    found = tmp_path_factory.mktemp("traces") / "trace"
    program(tmp_path / "p", found)
    return found


def program(path: Path, trace: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROVIDER.format(trace=trace))
    path.chmod(0o755)


def configure(folder: Path, launch: str) -> None:
    (folder / "dstream.hcl").write_text(
        f'task "t" {{\n  input {{\n    {launch}\n  }}\n  output {{\n    provider = "console"\n  }}\n}}\n'
    )


def test_fmt_starts_nothing_and_lint_only_what_the_configuration_trusts(tmp_path, trace):
    configure(tmp_path, 'provider_path = "./p"')
    assert dstream(tmp_path, "fmt").code == 0
    assert not trace.exists()
    unasked = dstream(tmp_path, "lint", "-run-providers=false")
    assert unasked.code == 0, unasked.said
    assert "Unchecked settings" in unasked.said
    assert not trace.exists()
    assert dstream(tmp_path, "lint").code == 0
    assert trace.exists()
    again = dstream(tmp_path, "lint", "-run-providers=false")  # the answer is known now
    assert "Unchecked settings" not in again.said


def test_lint_says_what_it_cannot_know_of_a_provider_that_is_not_locked(tmp_path):
    configure(tmp_path, 'provider_ref = "registry.invalid/team/x:v1"')
    ended = dstream(tmp_path, "lint")
    assert ended.code == 0, ended.said
    assert "is not in the lock file" in " ".join(ended.said.split())
    assert dstream(tmp_path, "plan").code == 1
    allowed = dstream(tmp_path, "lint", "-run-providers")
    assert allowed.code == 1  # nothing that is not locked runs, whoever allows it
    assert "Provider not locked" in allowed.said


def test_a_program_in_the_current_folder_is_never_meant_by_a_name(tmp_path, trace):
    program(tmp_path / "dstream-in-here", trace)
    program(tmp_path / "bin" / "dstream-in-here", trace)
    configure(tmp_path, 'provider = "here"')
    for path in (".:", ":", "bin:", f".{os.pathsep}bin{os.pathsep}"):
        ended = dstream(tmp_path, "plan", env={"PATH": path + os.environ["PATH"]})
        assert ended.code == 1
        assert "Provider not found" in ended.said
    assert not trace.exists()


def test_a_provider_sees_what_its_block_names_and_no_shell_reads_its_settings(tmp_path, trace):
    program(tmp_path / "odd name; touch evil", trace)
    configure(tmp_path, 'provider_path = "./odd name; touch evil"\n    env = ["NAMED"]')
    env = {"NAMED": "named value", "UNNAMED": "unnamed value", "PYTHONPATH": "/nowhere"}
    ran = dstream(tmp_path, "run", "-unapplied", env=env)
    assert '"n": 1' in ran.said, ran.said
    seen = Path(f"{trace}.env").read_text()
    assert "NAMED=named value" in seen
    assert "unnamed value" not in seen
    assert "/nowhere" not in seen
    assert trace.read_text().strip() == ""  # no arguments
    assert not (tmp_path / "evil").exists()
