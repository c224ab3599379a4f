"""No program and no module is taken from the current folder, which a stranger may have filled."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from dstream.plugins.binary import Binary, ProviderSource
from dstream.plugins.environment import provider_environment
from dstream.plugins.process import begin_binary
from dstream.programs import absolute_path, find_program, leave_out_current_folder, python_module
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


@pytest.mark.processes
def test_python_m_dstream_imports_nothing_of_the_current_folder_either(tmp_path):
    """Without -P, as somebody types it; a relative entry of PYTHONPATH is no better."""
    for name in ("click", "msgspec", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"import pathlib; pathlib.Path('executed-{name}').touch()")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "networkx.py").write_text("import pathlib; pathlib.Path('executed-networkx').touch()")
    (tmp_path / "dstream.hcl").write_text("locals {\n  a = 1\n}\n")
    for path, arguments in ((None, ("version",)), ("lib", ("graph",))):
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env |= {"PYTHONPATH": path} if path else {}
        command = [sys.executable, *([] if path is None else ["-P"]), "-m", "dstream", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert sorted(each.name for each in tmp_path.glob("executed-*")) == []


@pytest.mark.parametrize("path", [":/usr/bin", ".:/usr/bin", "/usr/bin::/bin", "bin:/usr/bin"])
def test_a_provider_finds_no_program_in_the_current_folder(path):
    """A provider that is a file of Python starts `/usr/bin/env python3`, in the folder of the configuration."""
    entries = provider_environment((), {"PATH": path})["PATH"].split(os.pathsep)
    assert entries and all(entry.startswith("/") for entry in entries)


@pytest.mark.processes
def test_what_a_provider_starts_is_not_taken_from_the_checkout(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    mark = trap(checkout, "python3")
    program = tmp_path / "dstream-in-x"
    program.write_text("#!/usr/bin/env python3\nimport sys\n")
    program.chmod(0o755)
    binary = Binary((str(program),), ProviderSource("name", "x"), "sha256:x", str(checkout))
    with mock.patch.dict(os.environ, {"PATH": f":{os.environ['PATH']}"}):
        process = begin_binary(binary).result()
    assert process.wait(60) == 0
    process.close()
    assert not mark.exists()


def test_libraries_find_no_program_in_the_current_folder(monkeypatch, tmp_path):
    """Such as the library for logins at Azure, which starts `az`."""
    monkeypatch.chdir(tmp_path)
    trap(tmp_path, "az")
    monkeypatch.setenv("PATH", f":bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", ":lib:/absolute")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "lib"), "/absolute", *sys.path])
    leave_out_current_folder()
    assert all(entry.startswith("/") for entry in os.environ["PATH"].split(os.pathsep))
    assert os.environ["PYTHONPATH"] == "/absolute"
    assert sys.path[0] == "/absolute"


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
