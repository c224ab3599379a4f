"""The live table of `run` and of `status -watch`: one line for each flow, never wider or higher than the terminal."""

import io
import os
import re
import time

import pytest

from dstream.cli.render import run_progress
from dstream.cli.render.paint import Paint
from dstream.cli.render.run_progress import Events
from dstream.cli.render.run_table import FlowRow, table_lines
from dstream.cli.render.width import cells
from dstream.cli.watch import watch
from dstream.engine.runs.run_files import RunStatus
from dstream.engine.runs.status import FlowStatus, Status, TaskStatus
from dstream.run import Progress, RunOutcome, Totals
from tests.events import until

MANY = [FlowRow(f"orders/{number}", "running", 10**number, 1000, 12.5, 300.0, stored_at=1.0) for number in range(9)]


class Screen(io.StringIO):
    """A terminal of 60 columns that keeps what is written to it."""

    columns, rows, encoding = 60, 24, "utf-8"

    def isatty(self):
        return True

    def fileno(self):
        return 77

    def lines(self):
        """The lines that are seen: sequences of the terminal are obeyed."""
        seen, at = [""], 0
        for piece in re.split(r"(\x1b\[\d*[AGJm]|\n)", self.getvalue()):
            if piece == "\n":
                at += 1
                seen += [""] * (at + 1 - len(seen))
            elif match := re.fullmatch(r"\x1b\[(\d*)A", piece):
                at -= int(match[1])
            elif piece.endswith("J") and piece.startswith("\x1b"):
                del seen[at:]
                seen.append("")
            elif not piece.startswith("\x1b"):
                seen[at] += piece
        return seen


@pytest.fixture
def screen(monkeypatch):
    made = Screen()
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((made.columns, made.rows)))
    monkeypatch.delenv("DSTREAM_LOG", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def take():
        """Be standard output and error; pytest has put its own there since the fixtures were made."""
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(run_progress.sys, name, made)

    made.take = take
    return made


class Named:
    """A flow, of which the events need its name."""

    delivery, acks, address = "at least once", True, None

    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize("columns", (20, 40, 60, 80, 200))
@pytest.mark.parametrize("height", (3, 8, 24))
def test_the_table_fits_into_the_terminal(columns, height):
    lines = table_lines(MANY, columns, height, now=61.0)
    assert max(map(cells, lines)) <= max(columns, 34)
    assert len(lines) <= max(3, height)
    assert lines[0].split()[:2] == ["TASK", "STATE"]


def test_a_wide_table_has_everything_and_a_narrow_one_the_important_columns():
    wide = table_lines(MANY[:2], 120, 24, now=61.0)
    assert wide[0].split() == ["TASK", "STATE", "RECORDS", "RECORDS/S", "BYTES/S", "CHECKPOINT"]
    assert wide[2].split() == ["orders/1", "running", "10", "12", "300", "B", "1m", "ago"]
    assert table_lines(MANY[:2], 40, 24)[0].split() == ["TASK", "STATE", "RECORDS"]
    assert "…" in table_lines([FlowRow("x" * 90), FlowRow("y")], 50, 24)[1]
    assert table_lines([FlowRow("漢字" * 40), FlowRow("y")], 50, 24)[1].startswith("漢字")


def test_of_many_flows_those_that_do_not_run_come_first_and_the_others_are_counted():
    rows = [FlowRow(f"t{number}", "running") for number in range(40)]
    rows[33].state, rows[35].state = "restarting", "failed"
    lines = table_lines(rows, 80, 24)
    assert [line.split()[0] for line in lines[1:4]] == ["t33", "t35", "t0"]
    assert lines[-1] == "and 30 more: 30 running" and len(lines) == 12


def test_one_flow_is_one_line_and_none_is_nothing():
    (line,) = table_lines([FlowRow("copy", "restarting", 1200, 5000, 3.0, None, 2)], 80, 24)
    assert line == "copy: restarting, 1,200 records, 5.0 kB, 3 records/s, 2 dead letters"
    assert table_lines([], 80, 24) == []


def test_a_run_of_several_tasks_scrolls_its_lines_and_keeps_the_table_below_them(screen):
    screen.take()
    events, flows = Events(Paint(enabled=False), json=False, quiet=False, several=True), [Named("a"), Named("b" * 70)]
    for flow in flows:
        events.session_started(flow, 1, None)
        events.progress(flow, Progress(Totals(5, 100), 2.0, 40.0))
    for number in range(30):
        events.log(flows[0], "input", f"line {number}")
        events.text(flows[1], f'{{"row": {number}}}')
    until(
        lambda: 'row": 29' in screen.getvalue() and screen.lines()[-4].startswith("TASK"), "the table below the lines"
    )
    seen = screen.lines()
    assert [line for line in seen if line.startswith("TASK")] == [seen[-4]], "one table, not one for each event"
    assert seen[-3].split()[:3] == ["a", "running", "5"] and "…" in seen[-2]
    assert max(map(cells, seen[-4:])) < screen.columns
    events.ended(flows[0], RunOutcome("failed", Totals(5, 100)))
    until(lambda: screen.lines()[-3].split()[:2] == ["a", "failed"], "the row of the task that failed")
    events.close()
    assert not [line for line in screen.lines() if line.startswith("TASK")]
    assert screen.getvalue().count("line 29") == 1


@pytest.mark.parametrize("encoding", ("ascii", "latin-1", "utf-8"))
def test_escapes_of_the_encoding_and_of_the_border_do_not_make_the_table_wider_than_the_terminal(encoding, screen):
    screen.take()
    screen.encoding = encoding
    events = Events(Paint(enabled=False), json=False, quiet=False, several=True)
    for name in ("漢字" * 9, "Größe" * 20, "##vso[task]\x1b[2J" * 4):
        events.session_started(Named(name), 1, None)
    until(lambda: len([line for line in screen.lines() if " running" in line]) >= 1, "the table")
    events._region.close()
    drawn = screen.getvalue().encode(encoding, "backslashreplace").decode(encoding)
    table = [
        line
        for line in drawn.split("\n")
        if line.lstrip("\x1b[0123456789AGJ").startswith(("TASK", "漢", "\\u6f22", "Gr"))
    ]
    assert table and max(cells(re.sub(r"\x1b\[\d*[AGJ]", "", line)) for line in table if ": running" not in line) < 60


def test_a_terminal_that_is_gone_does_not_hold_up_the_run(screen, monkeypatch):
    def gone(text):
        raise OSError(5, "Input/output error")

    screen.take()
    events = Events(Paint(enabled=False), json=False, quiet=False, several=False)
    events.session_started(Named("a"), 1, None)
    monkeypatch.setattr(screen, "write", gone)
    until(lambda: events._region is None or events._region.over, "the end of the region")
    with pytest.raises(OSError, match="Input/output"):
        events.log(Named("a"), "input", "line")


@pytest.mark.parametrize("quiet", (False, True))
def test_without_a_terminal_there_are_lines_alone(quiet, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(run_progress.sys, "stderr", out)
    events = Events(Paint(enabled=False), json=False, quiet=quiet, several=True)
    events.session_started(Named("a"), 1, None)
    events.progress(Named("a"), Progress(Totals(5, 100), 2.0, 40.0))
    events.close()
    assert out.getvalue() == ("" if quiet else "a: running from the beginning (at least once)\n")


def status(*states):
    """A status whose flows are in these states, running unless they say otherwise."""
    flows = tuple(
        FlowStatus(
            f"f{at}", "root on vm" if state == "running" else None, None, None, 0, (), RunStatus(f"f{at}", 1, state)
        )
        for at, state in enumerate(states)
    )
    return Status(
        "local state",
        3,
        0,
        None,
        (TaskStatus("task.f", "running", 0, (), flows), TaskStatus("task.old", "removed", 1, ("x",), ())),
        0,
    )


def sequence(*found):
    """Return a reader of these, one after the other, and a wait that ends after the last."""
    left = list(found)

    def wait(seconds):
        time.sleep(0)
        if not left:
            raise KeyboardInterrupt

    return lambda: left.pop(0), wait


def test_watching_without_a_terminal_prints_each_change_of_a_state_once_and_in_local_time(capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    read, wait = sequence(status("running"), status("running"), status("failed"))
    watch(read, wait=wait)
    monkeypatch.delenv("TZ")
    time.tzset()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 3)[3] for line in lines] == ["f0: running", "old: removed", "f0: failed"]
    assert all(" JST " in line for line in lines)


def test_watching_on_a_terminal_ends_with_the_last_table(screen):
    screen.take()
    read, wait = sequence(status("running", "waiting"), status("running", "failed"))
    watch(read, wait=wait)
    seen = [line for line in screen.lines() if line]
    assert seen[0] == "local state, serial 3"
    assert [line.split()[:2] for line in seen[1:]] == [
        ["TASK", "STATE"],
        ["f0", "running"],
        ["f1", "failed"],
        ["old", "removed"],
    ]
