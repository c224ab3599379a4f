"""No program and no module is taken from the current folder, which a stranger may have filled."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

from dstream.programs import absolute_path, find_program, python_module
from dstream.registry.errors import RegistryError
from dstream.registry.oci.credentials import _ask_helper

ROOT = Path(__file__).resolve().parents[2]


def trap(folder: Path, name: str) -> Path:
    """Write a program that leaves a mark, and make its folder the current one for the test; return the mark."""
    path, mark = folder / name, folder / "executed"
    path.write_text(f"#!/bin/sh\ntouch '{mark}'\necho '{{}}'\n")
    path.chmod(0o755)
    return mark


@pytest.mark.parametrize("path", ["", ".", ":/usr/bin", "/usr/bin:", "bin:/usr/bin", "./bin", "/usr/bin::/bin"])
def test_an_entry_of_path_that_means_the_current_folder_is_left_out(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for folder in (tmp_path, tmp_path / "bin"):
        trap(folder, "docker-credential-trap")
    monkeypatch.setenv("PATH", path)
    assert find_program("docker-credential-trap") is None
    assert all(Path(entry).is_absolute() for entry in absolute_path().split(os.pathsep) if entry)


def test_a_program_is_found_in_a_folder_of_path_or_by_its_whole_path(tmp_path, monkeypatch):
    trap(tmp_path, "mine")
    monkeypatch.setenv("PATH", f".:{tmp_path}")
    assert find_program("mine") == find_program(str(tmp_path / "mine")) == str(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_program("./mine") is None


def test_a_credential_helper_of_the_current_folder_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = trap(tmp_path, "docker-credential-trap")
    with pytest.raises(RegistryError):
        _ask_helper("trap", "registry.example", {"PATH": ".:"})
    assert not mark.exists()


@pytest.mark.processes
def test_a_module_of_the_current_folder_is_not_imported(tmp_path):
    for name in ("click", "json", "dstream"):
        (tmp_path / f"{name}.py").write_text("import pathlib; pathlib.Path('executed').touch(); raise SystemExit(7)")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(python_module("dstream", "version"), cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


def test_no_other_code_looks_for_programs_or_runs_modules():
    # The Pulumi provider, which imports nothing of the host, leaves relative entries out itself.
    exempt = {"dstream/programs.py", "providers/pulumi/dstream_pulumi/plugin.py"}
    found = []
    for part in ("dstream", "state/dstream_state", "providers"):
        for path in (ROOT / part).rglob("*.py"):
            name = path.relative_to(ROOT)
            text = ast.unparse(ast.parse(path.read_text("utf-8")))
            if "tests" not in name.parts and ("sys.executable, '-m'" in text or ".which(" in text):
                found.append(name.as_posix())
    assert set(found) <= exempt
