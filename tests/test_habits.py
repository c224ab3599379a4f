"""The files that guide contributors: git hooks, editor, dependency updates, owners, templates, devcontainer."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HOOKS = {
    hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
}
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture
def repository(tmp_path):
    """A git repository with the project's hooks and settings, which uses the project's environment."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "house-words.txt", tmp_path / "docs")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run_hook(repository, hook):
    subprocess.run(["git", "add", "-A", ":!.venv"], cwd=repository, check=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files", hook]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize(
    ("hook", "name", "bad", "good"),
    [
        ("ruff-check", "a.py", '"""D."""\n\nimport os\n', '"""D."""\n'),
        ("ruff-format", "a.py", "x = { 1 }\n", "x = {1}\n"),
        ("dstream-fmt", "a.hcl", "locals {\na=1\n}\n", "locals {\n  a = 1\n}\n"),
        ("codespell", "a.md", "I rec\x69eve it.\n", None),
        ("house-words", "docs/a.md", "How to mend it.\n", None),
    ],
)
def test_a_hook_stops_a_commit_that_needs_it_and_passes_one_that_does_not(repository, hook, name, bad, good):
    (repository / name).write_text(bad)
    stopped = run_hook(repository, hook)
    assert stopped.returncode == 1, stopped.stdout + stopped.stderr
    assert "Failed" in stopped.stdout
    if good is not None:  # the hook has fixed the file
        assert (repository / name).read_text().strip() == good.strip()
    else:
        (repository / name).write_text("I receive it, and fix it.\n")
    passed = run_hook(repository, hook)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "Passed" in passed.stdout


def test_hooks_run_what_the_environment_has_and_fetch_nothing():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in HOOKS.values():
        assert hook["language"] == "system"
        assert (ROOT / hook["entry"].split()[0]).exists(), hook["entry"]


def test_an_owner_is_named_for_paths_that_exist():
    lines = (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert rules[0][0] == "*"
    for pattern, *owners in rules:
        assert owners and all(re.fullmatch(r"@[\w-]+(/[\w-]+)?", owner) for owner in owners), pattern
        assert pattern == "*" or (ROOT / pattern.strip("/")).exists(), pattern


def test_dependencies_are_updated_in_groups_where_there_are_any():
    form = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    for update in form["updates"]:
        assert update.get("groups") or update["package-ecosystem"] == "devcontainers"
        for pattern in update.get("directories", [update.get("directory")]):
            assert pattern == "/" or list(ROOT.glob(pattern.strip("/"))), pattern


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml")), ids=lambda p: p.stem)
def test_an_issue_form_is_well_formed(path):
    form = yaml.safe_load(path.read_text())
    assert form["name"] and form["description"]
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    assert {part["type"] for part in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_the_development_container_uses_targets_of_the_makefile():
    form = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    make, *targets = form["postCreateCommand"].split()
    assert make == "make"
    assert targets and set(targets) <= TARGETS


PAGES = ["CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md", "docs/getting-started.md", "README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_targets_of_the_makefile_that_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:^ {4}|`|^)make ((?:[a-z]+(?: |`|$))+)", text, re.MULTILINE))
    words = {word for words in named for word in words.strip("` ").split()}
    assert words <= TARGETS, words - TARGETS


EXEMPTION = re.compile(r"#\s*noqa:\s*[A-Z0-9, ]*\bS\d{3}\b[A-Z0-9, ]*(?P<reason>.*)$", re.MULTILINE)


def unexplained(text):
    """Return the exemptions from bandit's rules that give no reason."""
    return [found[0] for found in EXEMPTION.finditer(text) if not found["reason"].strip(" -#")]


def test_an_exemption_from_the_rules_of_bandit_has_a_reason():
    assert unexplained("x = eval(y)  # noqa: S307\n") and not unexplained("x = eval(y)  # noqa: S307 - a constant\n")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in settings["select"]
    every = [*settings["ignore"], *(rule for rules in settings["per-file-ignores"].values() for rule in rules)]
    assert "S" not in every  # some rules are off for tests, each by its number
    folders = ("dstream", "state", "providers", ".ci", "examples", "benchmarks")
    sources = {path: path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): found for path, text in sources.items() if (found := unexplained(text))} == {}
