"""The workflows do what the Makefile does, and are well formed."""

import contextlib
import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"


def steps(path):
    form = yaml.safe_load(path.read_text())
    return [step for job in form["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_a_target_of_the_makefile(path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = [step["run"].split()[1] for step in steps(path) if step.get("run", "").startswith("make ")]
    assert made
    assert set(made) <= targets
    others = [step["run"] for step in steps(path) if "run" in step and not step["run"].startswith("make ")]
    assert all(text.startswith(("gh release", "mkdir wheels")) for text in others)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_more_rights_than_it_needs(path):
    form = yaml.safe_load(path.read_text())
    assert form["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in path.read_text()
    for step in steps(path):  # what a tag or a title says never becomes part of a script
        assert "${{" not in step.get("run", "")


PIN = re.compile(r"^\s*-? *uses: (?P<action>[\w./-]+)@(?P<digest>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$")


def uses():
    """Every line that names an action: in workflows, our own actions, and what `dstream providers new` writes."""
    actions = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
    templates = sorted((ROOT / "dstream" / "scaffold").rglob("*.yml.txt"))
    assert templates
    return [
        line for path in [*WORKFLOWS, *actions, *templates] for line in path.read_text().splitlines() if "uses:" in line
    ]


def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it():
    assert [line.strip() for line in uses() if not PIN.match(line)] == []


def test_an_action_has_one_version_everywhere():
    pins = {PIN.match(line).group("action", "digest", "version") for line in uses()}
    assert len(pins) == len({action for action, _, _ in pins}), sorted(pins)
    assert len(pins) == len({digest for _, digest, _ in pins}), sorted(pins)


def test_the_tests_run_on_every_python_that_the_project_claims():
    form = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    setup = (ROOT / ".ci" / "setup.sh").read_text()
    (oldest, newest) = re.search(r"Python 3\.(\d+) to 3\.(\d+)", setup).groups()
    assert form["jobs"]["test"]["strategy"]["matrix"]["python"] == [
        f"3.{minor}" for minor in range(int(oldest), int(newest) + 1)
    ]
    assert f'requires-python = ">=3.{oldest}"' in (ROOT / "pyproject.toml").read_text()


def actionlint():
    """The program: of this machine, or built once into `.cache/bin` where Go is there; else the test is skipped."""
    kept = ROOT / ".cache" / "bin"
    found = shutil.which("actionlint") or shutil.which("actionlint", path=str(kept))
    if found is None and (go := shutil.which("go")):
        environment = {**os.environ, "GOBIN": str(kept), "GOFLAGS": ""}
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([go, "install", ACTIONLINT], env=environment, capture_output=True, timeout=90)
        found = shutil.which("actionlint", path=str(kept))
    if found is None:
        pytest.skip(f"actionlint is not here, and Go could not build it: go install {ACTIONLINT}")
    return found


def test_actionlint_finds_nothing(tmp_path):
    made = []
    for path in sorted((ROOT / "dstream" / "scaffold").rglob("*.yml.txt")):  # those of new provider packages, too
        made.append(tmp_path / f"{len(made)}.yml")
        shutil.copy(path, made[-1])
    assert made
    done = subprocess.run([actionlint(), *map(str, [*WORKFLOWS, *made])], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout


ATTACKED = """
on: pull_request_target
permissions: write-all
jobs:
  plan:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: dstream plan -var "title=${{ github.event.pull_request.title }}"
"""


def zizmor(folder):
    """Audit the workflows in a folder; without a network, since the actions are pinned by commit."""
    program = Path(sys.executable).with_name("zizmor")
    command = [program, "--offline", "--persona=pedantic", "--format=plain", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_zizmor_finds_nothing(tmp_path):
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(ROOT / ".github", folder.parent)
    for number, path in enumerate(sorted((ROOT / "dstream" / "scaffold").rglob("*.yml.txt"))):
        shutil.copy(path, folder / f"scaffold-{number}.yml")
    done = zizmor(tmp_path)
    assert done.returncode == 0, done.stdout
    (folder / "attacked.yml").write_text(ATTACKED)
    done = zizmor(tmp_path)
    for finding in ("dangerous-triggers", "template-injection", "unpinned-uses", "excessive-permissions"):
        assert finding in done.stdout


def test_an_audit_that_could_not_look_up_a_package_fails(tmp_path, monkeypatch, capsys):
    audit = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
    started = []

    def run(command, check):
        started.append([str(each) for each in command])
        return subprocess.CompletedProcess(command, "azure" in started[-1][-1])

    monkeypatch.setattr(subprocess, "run", run)
    audit["main"].__globals__["install"] = lambda: None
    assert audit["main"]() == 1
    assert "requirements-azure.lock" in capsys.readouterr().err
    assert all("--strict" in command for command in started)
    assert {Path(command[-1]).name for command in started} == {path.name for path in ROOT.glob("*.lock")}


@pytest.mark.parametrize(
    ("version", "tag", "right"),
    [("1.2.3", "v1.2.3", True), ("1.2.3b1", "v1.2.3-beta.1", True), ("1.2.3", "v1.2.4", False), ("1.2", "v1.2", False)],
)
def test_a_tag_has_to_be_the_version(tmp_path, version, tag, right):
    for name in ("dstream", ".ci"):
        (tmp_path / name).mkdir()
    (tmp_path / "dstream" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    shutil.copy(ROOT / ".ci" / "release.py", tmp_path / ".ci")
    program = "import runpy; runpy.run_path('.ci/release.py')['tag']()"
    environment = {**os.environ, "TAG": tag}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode == 0) == right, done.stderr


def test_notes_and_checksums_are_made_of_the_changelog_and_the_files(tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / "dist").mkdir()
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "1.md").write_text("- a fragment\n")
    (tmp_path / "changelog.d" / "README.md").write_text("how to write one\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 2.0.0\n\n- new\n\n## 1.0.0\n\n- old\n")
    shutil.copy(ROOT / ".ci" / "release.py", tmp_path / ".ci")
    for target in ("notes", "checksums"):
        subprocess.run([sys.executable, ".ci/release.py", target], cwd=tmp_path, check=True)
    notes = tmp_path / "dist" / "NOTES.md"
    assert notes.read_text() == "- new\n\n- a fragment\n"
    assert (
        tmp_path / "dist" / "SHA256SUMS"
    ).read_text() == f"{hashlib.sha256(notes.read_bytes()).hexdigest()}  NOTES.md\n"


def test_the_index_names_what_a_release_ships():
    release = runpy.run_path(str(ROOT / ".ci" / "release.py"))
    packages = sorted(path.parent.name for path in (ROOT / "providers").glob("*/Containerfile"))
    shipped = {
        f"{program}{'' if name in release['single_files']() else '-image'}"
        for name in packages
        for program in release["programs"](name)
    }
    assert {"dstream-in-counter", "dstream-out-asb-image", "dstream-in-postgres-image"} <= shipped
    index = json.loads((ROOT / "dstream" / "registry" / "index.json").read_text())
    assert {each["source"].rpartition("/")[2] for each in index["providers"]} == shipped


def test_images_are_of_one_pattern_and_can_be_any_program_of_their_package():
    for recipe in (ROOT / "providers").glob("*/Containerfile"):
        text, package = recipe.read_text(), recipe.parent.name
        stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        assert stages == ["docker.io/library/python:3.13-alpine"] * 2, package
        program = re.search(r"^ARG PROGRAM=(\S+)$", text, re.MULTILINE)
        assert program and program[1] in (recipe.parent / "pyproject.toml").read_text(), package
        assert "COPY --from=build /site /site\n" in text, package
