"""A provider that is forked in place of a new process finds what a new process would find."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dstream.plugins import process
from tests.e2e.commands import PROGRAMS
from tests.services import command_server, provider_forks
from tests.services.shebang import shebang

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere providers are started as usual")
LOOK = """
import ctypes, gc, json, os, signal, sys, threading

os.environ.pop("PWD", None)  # the shell that starts Python adds it
signalled = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signalled))
streams = [sys.stdin, sys.stdout, sys.stderr]
print("x" * 100_000, file=sys.stderr)
print(json.dumps({
    "argv": sys.argv, "folder": os.getcwd(), "name": __name__, "path": sys.path[0], "environment": dict(os.environ),
    "leads": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()], "dies with": signalled.value,
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "umask": os.umask(0),
    "open": sorted(map(int, os.listdir("/proc/self/fd")))[:-1], "given": sys.stdin.read(),
    "streams": [(s.encoding, s.errors, s.line_buffering, s.fileno(), s.closed) for s in streams],
    "limits": [sys.getrecursionlimit(), gc.isenabled(), gc.get_threshold(), sys.get_int_max_str_digits()],
    "threads": [each.name for each in threading.enumerate()],
    "hooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__],
}))
"""
ENDS = {
    "returns": ("", 0),
    "exits": ("sys.exit(3)", 3),
    "with a text": ("sys.exit('bad')", 1),
    "fails": ("1 / 0", 1),
    "interrupted": ("raise KeyboardInterrupt", -signal.SIGINT),
    "fault": ("import dstream_sdk; dstream_sdk.fault('here')", -signal.SIGKILL),
    "another fault": ("import dstream_sdk; dstream_sdk.fault('there')", 0),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
}


def program(folder: Path, text: str) -> list[str]:
    path = folder / "provider"
    path.write_text(shebang() + text)
    path.chmod(0o755)
    return [*process._with_parent_death_signal(), str(path), "an", "argument"]


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ") if name in os.environ
    }
    return {**kept, **more}


def started(command: list[str], folder: Path, start: object, kept: int, **more: str) -> tuple[str, int]:
    assert callable(start)
    made = start(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment(**more),
        cwd=str(folder),
        pass_fds=(kept,),
        start_new_session=True,
    )
    with made.stdin, made.stdout, made.stderr:
        made.stdin.write(b"some\ntext")
        made.stdin.close()
        read = b"".join(iter(lambda: made.stderr.read(1 << 16), b""))
        assert b"x" * 100_000 in read
        return b"".join(iter(lambda: made.stdout.read(1 << 16), b"")).decode(), made.wait()


@pytest.mark.parametrize("end", ENDS)
def test_a_fork_finds_what_a_new_process_finds_and_ends_as_it_does(tmp_path: Path, end: str) -> None:
    text, code = ENDS[end]
    command = program(tmp_path, LOOK + "sys.stdout.flush()\n" + text)
    kept = os.open(tmp_path, os.O_RDONLY)
    try:
        forked = started(command, tmp_path, provider_forks._popen, kept, DSTREAM_FAULT="here")
        new = started(command, tmp_path, subprocess.Popen, kept, DSTREAM_FAULT="here")
    finally:
        os.close(kept)
    assert json.loads(forked[0]) == json.loads(new[0])
    assert forked[1] == new[1] == code


def test_a_fork_of_the_command_server_has_a_command_line_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "shows"
    script.write_text(shebang() + "print(open('/proc/self/cmdline').read().rstrip(chr(0)), end='')\n")
    script.chmod(0o755)
    argv = [str(script), "an", "argument of two words", "x" * 1_000]
    with command_server.start_program(argv, cwd=tmp_path, env=environment(), text=True) as forked:
        shown = forked.communicate()[0].split("\0")
    new = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment()).stdout.split("\0")
    assert shown[1:] == new[1:] and Path(shown[0]).samefile(new[0])


def test_forked_are_programs_that_this_python_runs_with_what_it_has_read(tmp_path: Path) -> None:
    ours = str(PROGRAMS / "dstream-out-jsonl")
    assert provider_forks._is_forked(ours, environment(), None)
    for name in ("PYTHONSTARTUP", "LC_NAME"):
        assert not provider_forks._is_forked(ours, environment(**{name: "C"}), None)
    others = {"other": "#!/bin/sh\n", "options": shebang("-I"), "none": ""}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        assert not provider_forks._is_forked(str(tmp_path / name), environment(), None)
    assert not provider_forks._is_forked(str(tmp_path / "missing"), environment(), None)
    (tmp_path / "closed").write_text(shebang())
    assert not provider_forks._is_forked(str(tmp_path / "closed"), environment(), None)
