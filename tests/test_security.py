"""Every row of the threat model names its tests, and `make test` runs them."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "security.md"
HEAD = "| Attack | Promised | Not promised | Test |"
PARTIES = ("repository", "pull request", "registry", "provider", "source data", "state store", "user")
LEFT_OUT = ("soak", "skip", "xfail")


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of the tables of the threat model."""
    tables = [part.splitlines()[2:] for part in text.split(HEAD)[1:]]
    found = []
    for lines in tables:
        for line in lines:
            if not line.startswith("|"):
                break
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])])
    return found


def run_by(path: Path) -> set[str]:
    """Return the tests of a file that pytest collects and `make test` runs."""
    tree = ast.parse(path.read_text("utf-8"))
    if any(isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node.targets) for node in tree.body):
        marks = next(ast.unparse(node.value) for node in tree.body if "pytestmark" in ast.unparse(node))
        if any(f"mark.{word}" in marks for word in LEFT_OUT):
            return set()
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {
        node.name
        for body in bodies
        for node in body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not any(f"mark.{word}" in ast.unparse(mark) for mark in node.decorator_list for word in LEFT_OUT)
    }


def test_each_row_of_the_threat_model_is_held_by_tests_that_run():
    run = {
        name
        for folder in ("tests", "providers", "state")
        for path in (ROOT / folder).rglob("test_*.py")
        for name in run_by(path)
    }
    found = rows(PAGE.read_text("utf-8"))
    assert len(found) > 25
    assert [cells for cells in found if len(cells) != 4 or not cells[0] or not cells[1]] == []
    named = [re.findall(r"`(test_\w+)`", cells[3]) for cells in found]
    assert [cells for cells, tests in zip(found, named, strict=True) if not tests or not set(tests) <= run] == []


def test_the_threat_model_has_a_section_for_each_party_with_a_table():
    sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for party in PARTIES:
        assert [one for one in sections if party in one.splitlines()[0].lower() and HEAD in one], party


def test_a_test_that_is_left_out_does_not_count(tmp_path):
    path = tmp_path / "test_it.py"
    path.write_text("@pytest.mark.soak\ndef test_a(): ...\n\n\nclass TestIt:\n    def test_b(self): ...\n")
    assert run_by(path) == {"test_b"}
    path.write_text("pytestmark = [pytest.mark.soak]\n\n\ndef test_a(): ...\n")
    assert run_by(path) == set()


def test_the_threat_model_is_linked_from_where_readers_look():
    assert "docs/security.md" in (ROOT / "README.md").read_text("utf-8")
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text("utf-8")
