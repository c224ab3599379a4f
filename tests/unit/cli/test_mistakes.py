"""Each typical mistake gets a message with its place and a fix, and the fix works as it is written."""

import sys
from pathlib import Path

import pytest

from dstream.cli.main import _run
from dstream_console.provider import PROVIDER as CONSOLE
from dstream_counter.provider import PROVIDER as COUNTER
from tests.services.recorder.in_process import in_process
from tests.unit.cli import mistakes
from tests.unit.cli.mistakes import TABLE

BIN = Path(sys.executable).parent
PROVIDERS = {"dstream-in-counter": COUNTER, "dstream-out-console": CONSOLE}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that writes files and runs a command in their folder, and returns its exit code and output."""
    monkeypatch.setenv("COLUMNS", "400")

    def running(name, files, words):
        folder = tmp_path / name
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if text or file != "dstream.hcl":
                path.write_text(text)
        monkeypatch.chdir(folder)
        with in_process({str(BIN / program): lambda _life, made=made: made for program, made in PROVIDERS.items()}):
            code = _run(words)
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).replace("│", " ").split())

    return running


@pytest.mark.parametrize("mistake", TABLE, ids=[mistake.title for mistake in TABLE])
def test_the_message_has_place_and_fix_and_the_fix_works(mistake, run):
    code, printed = run("wrong", mistake.files(mistake.wrong), mistake.typed(mistake.wrong))
    assert code == 1, printed
    assert mistake.says in printed
    place = mistake.place if mistake.place.count(":") != 1 else f"dstream.hcl:{mistake.place}"
    assert place in printed
    code, printed = run("right", mistake.files(mistake.right), mistake.typed(mistake.right))
    assert code == 0 or (code == 2 and "-detailed-exitcode" in mistake.right), printed


def test_there_are_thirty_and_the_page_shows_them():
    assert len(TABLE) >= 30
    assert all(mistake.place for mistake in (*mistakes.BLOCKS, *mistakes.VALUES))
    assert mistakes.PAGE.read_text("utf-8") == mistakes.page(), "run: .venv/bin/python -m tests.unit.cli.mistakes"
