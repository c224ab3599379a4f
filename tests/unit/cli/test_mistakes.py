"""Each typical mistake gets a message with its place and a fix, and the fix works as it is written."""

import pytest

from tests.unit.cli import mistakes
from tests.unit.cli.mistakes import TABLE


@pytest.mark.parametrize("mistake", TABLE, ids=[mistake.title for mistake in TABLE])
def test_the_message_has_place_and_fix_and_the_fix_works(mistake, run):
    code, _, err = run("wrong", mistake.files(mistake.wrong), mistake.typed(mistake.wrong))
    printed = " ".join(err.replace("│", " ").split())
    assert code == 1, printed
    assert mistake.says in printed
    place = mistake.place if mistake.place.count(":") != 1 else f"dstream.hcl:{mistake.place}"
    assert place in printed
    code, _, err = run("right", mistake.files(mistake.right), mistake.typed(mistake.right))
    assert code == 0 or (code == 2 and "-detailed-exitcode" in mistake.right), err


def test_there_are_thirty_and_the_page_shows_them():
    assert len(TABLE) >= 30
    assert all(mistake.place for mistake in (*mistakes.BLOCKS, *mistakes.VALUES))
    assert mistakes.PAGE.read_text("utf-8") == mistakes.page(), "run: .venv/bin/python -m tests.unit.cli.mistakes"
