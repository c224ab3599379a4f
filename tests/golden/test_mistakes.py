"""Ten typical mistakes, each with the whole output of `dstream lint`: would one know what to do?

A folder per mistake: a configuration and `lint.golden`. `GOLDEN=write pytest tests/golden` writes what is printed now.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.commands import dstream

MISTAKES = sorted(path for path in (Path(__file__).parent / "mistakes").iterdir() if path.is_dir())


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda path: path.name)
def test_lint_says_about_a_mistake_what_was_read_aloud_and_found_good(mistake, tmp_path):
    shutil.copy(mistake / "dstream.hcl", tmp_path)
    ended = dstream(tmp_path, "lint")
    assert ended.code == 1 and ended.out == ""
    golden = mistake / "lint.golden"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(ended.err, "utf-8")
    assert ended.err == golden.read_text("utf-8")


def test_there_are_ten():
    assert len(MISTAKES) == 10
