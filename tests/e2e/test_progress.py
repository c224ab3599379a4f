"""What an apply shows while it works: lines in a pipe, a live view on a terminal, events as JSON; and how it stops."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dstream.cli.render import progress
from dstream.cli.render.paint import Paint
from dstream_state import processes
from tests.e2e.commands import PROGRAMS, dstream, environment, start
from tests.events import PATIENCE, until
from tests.services.recorder.world import World

PATIENT = """
from dstream.cli import main
from dstream.plugins import ResourceSession

ResourceSession.close.__defaults__ = (1e6,)
main()
"""
"""A dstream that waits for days until a provider that it closes has ended by itself."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def blocks(*names: str) -> str:
    return "".join(f'resource "rec_marked" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


def asked(world: World, *commands: str) -> Callable[[], object]:
    return lambda: world.recorder.calls(*commands)


class Terminal:
    """A command on a terminal of its own: what it shows, and what is typed."""

    def __init__(self, folder: Path, *arguments: str, rows: int = 30, columns: int = 100) -> None:
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            env = environment({"TERM": "xterm"})
            os.execve(PROGRAMS / "dstream", ["dstream", *arguments], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> bool:
        """Take in what is shown within some seconds; return whether more may come."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def shows(self, pattern: str) -> None:
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, f"{pattern} is not in {self.seen!r}"
            assert self.read(0.2), f"it ended without {pattern}: {self.seen!r}"

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def ended(self) -> int:
        end = time.monotonic() + PATIENCE
        while self.read(0.2):
            assert time.monotonic() < end, f"it does not end: {self.seen!r}"
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(world: World) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def begin(*arguments: str, **size: int) -> Terminal:
        opened.append(Terminal(world.folder, *arguments, **size))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def test_in_a_pipe_each_event_is_a_line_and_the_summary_has_durations(world: World) -> None:
    world.write(blocks("a", "b") + 'resource "rec_planned" "c" {\n  name = "c"\n  note = rec_marked.a.uid\n}\n')
    world.recorder.on("create", "a", slow=1.1)
    world.recorder.on("create", "c", slow=1.1)
    ended = dstream(world.folder, "apply", "-auto-approve")
    assert ended.code == 0, ended.said
    assert ended.err.startswith("Planning...\n")
    assert "\x1b" not in ended.said
    for line in (r"rec_marked\.a: Creating\.\.\.", r"rec_marked\.b: Created after \d\.\ds"):
        assert re.search(rf"^{line}$", ended.out, re.MULTILINE), ended.out
    summary = ended.out.splitlines()[-2:]
    assert re.fullmatch(r"Apply complete: 3 added, 0 changed, 0 destroyed, in \d+(\.\d)?s\.", summary[0])
    assert re.fullmatch(r"Slowest: rec_\S+ \(\S+s\), rec_\S+ \(\S+s\)\.", summary[1])


def test_a_destroy_that_fails_says_so_and_what_it_did_not_try(world: World) -> None:
    world.apply(blocks("a", "b") + 'resource "rec_marked" "c" {\n  name = "c"\n  note = rec_marked.a.uid\n}\n')
    world.recorder.on("delete", "any", fail="denied")
    ended = dstream(world.folder, "destroy", "-auto-approve")
    assert ended.code == 1, ended.said
    assert "rec_marked.c: failed to destroy" in ended.out
    assert "rec_marked.a: skipped, because of rec_marked.c" in ended.out
    assert "Destroy incomplete: 0 destroyed, 2 failed, 1 skipped, in" in ended.out


def test_what_takes_its_time_is_mentioned_again() -> None:
    said: list[str] = []
    view = progress.PlainProgress(progress.Lines(Paint(enabled=False), out=said.append), every=0.05)
    view.begun(1, list)
    view.started("a.b", "update")
    until(lambda: len(said) > 2, "two mentions")
    view.done("a.b", "update", 1.0)
    view.close()
    assert re.fullmatch(r"a\.b: still updating \(\d\.\ds\)", said[1])


def test_the_first_word_comes_before_anything_is_read(world: World) -> None:
    # A pipe that nobody writes to: reading the configuration never ends.
    os.mkfifo(world.folder / "zz.hcl")
    for command in ("plan", "apply", "destroy", "drift"):
        running = start(world.folder, command)
        try:
            assert running.stderr is not None
            assert running.stderr.readline().endswith("...\n")
        finally:
            running.kill()
            running.communicate()
    running = start(world.folder, "apply", "-json")
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["type"] == "version"
    finally:
        running.kill()
        running.communicate()


def test_events_as_json_lines(world: World) -> None:
    world.write(blocks("a", "b") + 'resource "rec_planned" "c" {\n  name = "c"\n  note = rec_marked.b.uid\n}\n')
    world.recorder.on("create", "b", fail="denied")
    ended = dstream(world.folder, "apply", "-auto-approve", "-json")
    assert ended.code == 1
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert all({"@level", "@message", "@timestamp", "type"} <= event.keys() for event in events)
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["version", "plan", "apply_begin"]
    told = ["apply_complete", "apply_errored", "apply_skipped", "apply_start", "apply_start"]
    assert (sorted(kinds[3:-2]), kinds[-2]) == (told, "diagnostic")
    hooks = {(event["type"], event["hook"]["resource"]["addr"]): event["hook"] for event in events if "hook" in event}
    assert hooks["apply_complete", "rec_marked.a"]["action"] == "create"
    assert hooks["apply_complete", "rec_marked.a"]["elapsed_seconds"] >= 0
    outcome = events[-1]
    assert (outcome["type"], outcome["status"], outcome["summary"]["add"]) == ("outcome", "error", 1)
    assert outcome["diagnostics"][0]["address"] == "rec_marked.b"


def test_json_has_an_outcome_also_where_nothing_could_be_planned_or_nobody_agreed(world: World) -> None:
    world.write(blocks("a") + 'resource "rec_marked" "b" {\n  name = 5 + "x"\n}\n')
    ended = dstream(world.folder, "apply", "-auto-approve", "-json")
    outcome = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, outcome["status"], len(outcome["diagnostics"])) == (1, "error", 1)
    world.write(blocks("a"))
    ended = dstream(world.folder, "apply", "-json")
    assert (ended.code, json.loads(ended.out.splitlines()[-1])["status"]) == (1, "refused")


def test_a_terminal_shows_what_is_under_way_for_how_long_and_what_is_next(
    world: World, terminal: Callable[..., Terminal]
) -> None:
    world.write(blocks("a", "b", "c") + 'resource "rec_planned" "d" {\n  name = "d"\n  note = rec_marked.c.uid\n}\n')
    world.recorder.on("create", "any", gate="go")
    shown = terminal("apply", "-parallelism", "2")
    shown.shows("Only 'yes' will be accepted to approve")
    shown.type("yes\n")
    shown.shows(r"\d\.\ds  rec_marked\.a: creating\r\n")
    shown.shows(r"next  rec_marked\.c \(2 to go\)")
    shown.shows(r"0 of 4 done, 1\.\ds")
    world.recorder.open_gate("go")
    shown.shows(r"Apply complete:")
    assert shown.ended() == 0
    assert "rec_planned.d: Created after" in shown.seen
    last = shown.seen.rpartition("\x1b[J")[2]
    assert "next" not in last and "of 4 done" not in last  # the region is gone at the end


def test_lines_never_wrap_on_a_narrow_terminal(world: World, terminal: Callable[..., Terminal]) -> None:
    name = "long" * 20
    world.write(blocks(name))
    world.recorder.on("create", "any", gate="go")
    shown = terminal("apply", "-auto-approve", columns=40, rows=10)
    shown.shows(r"0 of 1 done, [12]\.\ds")
    regions = re.findall(r"\x1b\[J((?:[^\x1b]*\r\n)+)", shown.seen)
    lines = [line for part in regions for line in part.split("\r\n") if "…" in line]
    assert lines and all(len(line) < 40 for line in lines)
    world.recorder.open_gate("go")
    assert shown.ended() == 0


@pytest.mark.parametrize("how", ["signal", "terminal"])
def test_ctrl_c_once_starts_nothing_more_and_records_what_was_under_way(
    world: World, terminal: Callable[..., Terminal], how: str
) -> None:
    world.write(blocks("a", "b", "c"))
    world.recorder.on("create", "a", gate="go")
    if how == "terminal":
        shown = terminal("apply", "-auto-approve", "-parallelism", "1")
        until(asked(world, "create"), "the first change")
        shown.type("\x03")
        shown.shows("Stopping after the changes in progress")
        shown.shows(r"next  nothing: stopping \(2 skipped\)")
        world.recorder.open_gate("go")
        assert shown.ended() == 130
        said = shown.seen
    else:
        running = start(world.folder, "apply", "-auto-approve", "-parallelism", "1")
        until(asked(world, "create"), "the first change")
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        while "Stopping after the changes in progress" not in running.stderr.readline():
            pass
        world.recorder.open_gate("go")
        said, _ = running.communicate(timeout=PATIENCE)
        assert running.returncode == 130
    assert "rec_marked.a: Created after" in said
    assert "Apply interrupted: 1 added, 0 changed, 0 destroyed, 2 skipped" in re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert world.recorder.names() == ["a"]
    assert world.in_step()
    assert world.snapshot.intents == {}


@pytest.mark.parametrize("how", ["signal", "terminal"])
def test_ctrl_c_twice_ends_the_providers_and_the_intents_stay(
    world: World, terminal: Callable[..., Terminal], how: str
) -> None:
    world.write(blocks("a", "b"))
    world.recorder.on("create", "any", gate="go")
    code: int | None
    if how == "terminal":
        shown = terminal("apply", "-auto-approve", "-parallelism", "1")
        until(asked(world, "create"), "the first change")
        shown.type("\x03")
        shown.shows("again to stop immediately")
        shown.type("\x03")
        shown.shows("Stopping immediately")
        code = shown.ended()
    else:
        running = start(world.folder, "apply", "-auto-approve", "-parallelism", "1")
        until(asked(world, "create"), "the first change")
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        while "again to stop immediately" not in running.stderr.readline():
            pass
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=PATIENCE)
        code = running.returncode
    assert code == 130
    pid = world.recorder.calls("create")[0].more["pid"]
    until(lambda: processes.start_time(pid) is None, "the provider to be gone")
    assert [intent.address for intent in world.snapshot.intents.values()] == ["rec_marked.a"]
    world.recorder.behave()
    world.apply()
    assert world.recorder.names() == ["a", "b"]
    assert world.in_step()


def test_ctrl_c_at_the_question_and_while_planning_ends_it_at_once(
    world: World, terminal: Callable[..., Terminal]
) -> None:
    world.write(blocks("a"))
    shown = terminal("apply")
    shown.shows("Only 'yes' will be accepted to approve")
    shown.type("\x03")
    assert shown.ended() == 130
    world.apply()
    world.recorder.on("read", "any", gate="never")
    world.recorder.forget_calls()
    for command in ("apply", "plan", "drift"):
        running = start(world.folder, command, program=[sys.executable, "-c", PATIENT])
        try:
            until(asked(world, "read"), "the provider to be asked")
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=PATIENCE)
        finally:
            running.kill()
        assert running.returncode == 130, out + err
        assert "Traceback" not in err
        world.recorder.forget_calls()
    world.recorder.behave()
    assert not world.plan().has_changes


def test_without_a_terminal_at_the_other_end_nothing_breaks(world: World) -> None:
    world.write(blocks(*(f"n{number}" for number in range(40))))
    command = f"{PROGRAMS / 'dstream'} apply -auto-approve | head -1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=world.folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert "Traceback" not in done.stderr
    world.apply()
    assert world.in_step()
