"""Each package that `providers new` makes passes its own tests and the conformance kit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import dstream


@pytest.mark.parametrize("lang", ["python", "bash"])
@pytest.mark.parametrize("kind", ["in", "out", "resource"])
def test_a_new_package_passes_its_own_tests_and_the_kit(tmp_path: Path, kind: str, lang: str) -> None:
    made = dstream(tmp_path, "providers", "new", "my-first", "-kind", kind, "-lang", lang)
    assert made.code == 0, made.said
    folder = tmp_path / f"dstream-{kind}-my-first"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", "Containerfile", "compose.yaml", ".github/workflows/test.yml"} <= there
    assert not [path for path in folder.rglob("*") if path.is_file() and re.search("@[A-Z]+@", path.read_text())]
    program = folder / f"dstream-{kind}-my-first"
    if lang == "python":
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        module = f"dstream_{kind}_my_first"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -m {module} "$@"\n')
        program.chmod(0o755)
    else:
        command = ["bash", "tests/run.sh"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = dstream(folder, "providers", "test", str(program), timeout=280)
    assert tested.code == 0, tested.said
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.said)


def test_a_name_that_cannot_be_a_program_and_a_full_folder_are_refused(tmp_path: Path) -> None:
    for name in ("Upper", "a b", "../x", "-x"):
        assert dstream(tmp_path, "providers", "new", "--", name).code == 1
    (tmp_path / "dstream-in-x").mkdir()
    (tmp_path / "dstream-in-x" / "mine").touch()
    assert "Folder not empty" in dstream(tmp_path, "providers", "new", "x").said
