"""Text follows the width of the terminal; without one it is the same everywhere."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream.cli.render.diagnostics import diagnostics_text
from dstream.cli.render.paint import Paint, paint_for, say_prose
from dstream.cli.render.width import WITHOUT_TERMINAL, cells, columns_of, wrapped
from dstream.diagnostics import Position, SourceRange, error

TEXT = "The provider mssql needs the permission VIEW SERVER STATE on the server. Grant it: GRANT VIEW SERVER STATE TO x"
LONG = 'config { connection_string = "' + "x" * 200 + '" }'
PLACE = SourceRange("dstream.hcl", Position(1, 10, 9), Position(1, 27, 26))


class Terminal(io.StringIO):
    """A terminal of a size that may change."""

    columns = 80

    def isatty(self):
        return True

    def fileno(self):
        return 77


@pytest.fixture
def terminal(monkeypatch):
    made = Terminal()
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((made.columns, 24)))
    return made


@given(st.text(st.sampled_from("ab漢é -\n"), max_size=200), st.integers(20, 120))
def test_no_line_is_wider_than_the_terminal_unless_it_is_one_word_and_no_word_is_lost(text, columns):
    lines = list(wrapped(text, columns))
    assert "".join(text.split()) == "".join("".join(lines).split())
    assert [line for line in lines if cells(line) > columns and " " in line.strip() and line[0] != " "] == []


@pytest.mark.parametrize("columns", (20, 40, 72, 80, 100, 132, 250))
def test_a_diagnostic_fits_every_terminal(columns, terminal):
    terminal.columns = columns
    paint = paint_for(terminal)
    found = [error("Missing privilege", TEXT, PLACE), error("Missing privilege", TEXT, address="task.copy.output.x.y")]
    text = diagnostics_text(found, {"dstream.hcl": LONG}, Paint(False, paint.columns))
    assert max(cells(line) for line in text.splitlines()) <= max(columns, len("│   with task.copy.output.x.y"))
    assert "\n".join(word for word in TEXT.split()) in "\n".join(text.replace("│", "").split())


def test_the_terminal_is_asked_each_time_because_it_may_be_resized(terminal):
    assert columns_of(terminal) == 80
    terminal.columns = 43
    assert columns_of(terminal) == 43
    say_prose(TEXT, stream=terminal)
    assert max(map(len, terminal.getvalue().splitlines())) <= 43


@pytest.mark.parametrize(
    ("given", "columns"), [("60", 60), ("5", 20), ("0", 80), ("", 80), ("wide", 80), ("-3", 80), ("²", 80)]
)
def test_the_environment_can_name_the_columns(given, columns, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", given)
    assert columns_of(terminal) == columns


@pytest.mark.parametrize("size", (0, None))
def test_a_terminal_that_does_not_know_its_size_has_eighty_columns(size, terminal, monkeypatch):
    def asked(number):
        if size is None:
            raise OSError(25, "Inappropriate ioctl for device")
        return os.terminal_size((0, 0))

    monkeypatch.setattr(os, "get_terminal_size", asked)
    assert columns_of(terminal) == 80


def test_files_and_pipes_have_the_same_width_everywhere_and_whole_paragraphs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    assert columns_of(file) == WITHOUT_TERMINAL
    say_prose(TEXT * 3, stream=file)
    assert file.getvalue() == f"{TEXT * 3}\n"


def test_one_cause_is_one_error_with_all_addresses():
    refused = "The token of queue {} has expired: 401 Unauthorized."
    many = [error("Refused", refused.format(f"q-{i}"), PLACE, address=f'asb_queue.q["q-{i}"]') for i in range(50)]
    text = diagnostics_text(
        [*many, error("Refused", "Another reason.", PLACE, address="asb_queue.r")], {}, Paint(False)
    )
    assert text.count("Error: Refused") == 2
    assert '50 objects have this problem: asb_queue.q["q-0"], asb_queue.q["q-1"]' in text and "and 45 more" in text
    assert "Another reason" in text


def test_problems_that_each_need_a_fix_of_their_own_stay_apart():
    other = SourceRange("dstream.hcl", Position(9, 1, 90), Position(9, 2, 91))
    found = [
        error("Unknown argument", "x is unknown.", PLACE, address="task.a"),
        error("Unknown argument", "x is unknown.", other, address="task.b"),
        error("Unknown argument", "y is unknown.", other, address="task.b"),
        error("No address", "z is unknown."),
        error("No address", "z is unknown."),
    ]
    assert diagnostics_text(found, {}, Paint(False)).count("Error: ") == 5
