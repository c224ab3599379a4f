"""The command server: a command has its own folder, environment and streams, and ends as a real process does."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands import dstream, environment
from tests.services.command_server import run


def typed(folder: Path, *arguments: str, stdin: bytes = b"", timeout: float = 60, **env: str):
    return run(arguments, cwd=folder, env=environment(env), stdin=stdin, timeout=timeout)


@pytest.mark.parametrize("arguments", [("version",), ("--help",), ("nope",), ("lint",), ("console", "-e", "1 +")])
def test_it_does_what_a_fresh_process_does(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert dstream(tmp_path, *arguments) == dstream(tmp_path, *arguments, fresh=True)


def test_each_command_has_its_own_folder_environment_and_standard_input(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dstream.hcl").write_text(
            f'locals {{\n  x = "{name} ${{nonsensitive(env("X", "unset"))}}"\n}}\n'
        )
    assert typed(tmp_path / "a", "console", stdin=b"local.x\n", X="1").out == b'"a 1"\n'
    assert typed(tmp_path / "b", "console", stdin=b"local.x\n").out == b'"b unset"\n'


def test_more_than_a_pipe_holds_goes_in_and_comes_out(tmp_path: Path) -> None:
    (tmp_path / "dstream.hcl").write_text("")
    text = "x" * 300_000
    assert typed(tmp_path, "console", stdin=f'"{text}"\n'.encode()).out.decode() == f'"{text}"\n'


def test_a_command_that_takes_too_long_is_killed_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "slow").write_text("#!/bin/sh\nexec sleep 1000\n")
    (tmp_path / "slow").chmod(0o755)
    (tmp_path / "dstream.hcl").write_text(
        'provider "slow" {\n  provider_path = "./slow"\n}\nresource "slow_x" "a" {}\n'
    )
    with pytest.raises(subprocess.TimeoutExpired):
        typed(tmp_path, "plan", timeout=1)
    (tmp_path / "dstream.hcl").write_text("")
    assert typed(tmp_path, "version").code == 0
