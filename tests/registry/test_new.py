"""Each package that `providers new` makes passes its own tests and the conformance kit, as its README says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.e2e.commands import dstream, environment
from tests.services.registry import registry
from tests.services.shebang import shebang

KINDS = ("in", "out", "resource")


def new(tmp_path: Path, kind: str, lang: str) -> Path:
    """Make a package and return its folder."""
    made = dstream(tmp_path, "providers", "new", "my-first", "-kind", kind, "-lang", lang)
    assert made.code == 0, made.said
    return tmp_path / f"dstream-{kind}-my-first"


def steps(folder: Path) -> list[str]:
    """Return the commands of a README, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#.*", "", line) for line in lines if line]


@pytest.mark.parametrize("lang", ["python", "bash"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_passes_its_own_tests_and_the_kit(tmp_path: Path, kind: str, lang: str) -> None:
    folder = new(tmp_path, kind, lang)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"README.md", "Containerfile", "compose.yaml", ".github/workflows/test.yml"} <= there
    assert not [path for path in folder.rglob("*") if path.is_file() and re.search("@[A-Z]+@", path.read_text())]
    program = folder / f"dstream-{kind}-my-first"
    if lang == "python":
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        module = f"dstream_{kind}_my_first"
        lines = f"import runpy, sys\n\nsys.path.insert(0, {str(folder)!r})\n"
        program.write_text(f"{shebang()}{lines}runpy.run_module({module!r}, run_name='__main__')\n")
        program.chmod(0o755)
        typed = "python -m pytest"
    else:
        command = ["bash", "tests/run.sh"]
        typed = "bash tests/run.sh"
    assert typed in steps(folder)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What an installation puts on the PATH is found by the name that the README has.
    path = {"PATH": os.pathsep.join([str(folder), environment()["PATH"]])}
    (kit,) = (step for step in steps(folder) if step.startswith("dstream providers test"))
    tested = dstream(folder, *shlex.split(kit)[1:], env=path, timeout=280)
    assert tested.code == 0, tested.said
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.said)
    (shown,) = re.findall(r"```hcl\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    (folder / "dstream.hcl").write_text(shown)
    planned = dstream(folder, "plan", env=path)
    assert planned.code == 0 and "1 to add" in planned.out, planned.said


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lang", ["python", "bash"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_of_the_readme_works_in_an_environment_with_dstream(tmp_path: Path, kind: str, lang: str) -> None:
    folder, home = new(tmp_path, kind, lang), tmp_path / "environment"
    venv.create(home, with_pip=True)
    (site,) = home.glob("lib/python*/site-packages")
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dstream.pth").write_text(f"import site; site.addsitedir({own!r})\n")
    path = os.pathsep.join([str(home / "bin"), environment()["PATH"]])
    with registry(tmp_path) as server:
        for step in steps(folder):
            if step.startswith("docker "):
                continue  # an engine builds it in tests/registry/test_images.py
            done = subprocess.run(
                ["/bin/sh", "-c", step.replace("REGISTRY/TEAM", f"{server.host}/team")],
                cwd=folder,
                env=environment({"PATH": path}),
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, (step, done.stdout[-2000:], done.stderr[-2000:])


def test_a_name_that_cannot_be_a_program_and_a_full_folder_are_refused(tmp_path: Path) -> None:
    for name in ("Upper", "a b", "../x", "-x"):
        assert dstream(tmp_path, "providers", "new", "--", name).code == 1
    (tmp_path / "dstream-in-x").mkdir()
    (tmp_path / "dstream-in-x" / "mine").touch()
    assert "Folder not empty" in dstream(tmp_path, "providers", "new", "x").said
