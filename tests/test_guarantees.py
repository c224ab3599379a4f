"""Every row of the table of guarantees names a test, and the test is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_each_row_of_the_guarantees_is_backed_by_a_test():
    text = (ROOT / "docs/guarantees.md").read_text()
    rows = [line for line in text.partition("| In the source |")[2].splitlines()[2:] if line.startswith("|")]
    sources = [path.read_text() for folder in ("tests", "providers") for path in (ROOT / folder).rglob("test_*.py")]
    defined = set(re.findall(r"^ *def (test_\w+)", "\n".join(sources), re.MULTILINE))
    named = [re.findall(r"`(test_\w+)`", row.split("|")[-2]) for row in rows]
    assert len(rows) > 20
    assert [row for row, tests in zip(rows, named, strict=True) if not tests or not set(tests) <= defined] == []
