"""Starts providers in Python as forks of a process that has already imported what they import.

`install` is for the command server (`tests.services.command_server`): its commands start a provider ten times as often
as a test starts a command, and most of what a short-lived provider takes is Python's start-up and its imports. As with
commands, a provider is a process of its own: the child of its command, in a session of its own, with its folder,
environment, descriptors, signal handlers and parent-death signal, and it runs the program that it would have run.

Started as usual are programs that this Python does not run, and those for which the interpreter's own variables are
set. So are providers of commands that are not run by the command server: see `start` and `fresh` in
`tests.e2e.commands`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from dstream_sdk import failpoints
from tests.services.interpreter import COLLECTOR, RECURSION, end, read_at_start, show_arguments
from tests.services.shebang import shebang

PRELOADED = (
    *("dstream_sdk", "dstream_sdk.probe", "dstream_sdk.plan_server", "dstream_sdk.resource_server"),
    *("dstream_sdk.catalog", "dstream_sdk.lifecycle", "dstream_sdk.fork_server"),
    *("dstream_counter", "dstream_console", "dstream_log", "dstream_jsonl", "dstream_postgres", "dstream_mssql"),
    "dstream_servicebus",
)
"""What providers import: modules, and packages with all that is in them."""
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_STARTS = (f"#!{sys.executable}\n".encode(), shebang().encode(), shebang("-S").encode())
"""How a program begins that this Python runs, without options or only with less of its packages."""
_read = read_at_start(os.environ)
"""What this interpreter has read; a command has variables of its own."""


def install() -> None:
    """Import what providers import, and have dstream's spawner start them as forks. Linux only; elsewhere nothing."""
    if sys.platform != "linux":
        return
    for name in PRELOADED:
        _preload(importlib.import_module(name))
    from dstream.plugins import process

    vars(process)["subprocess"] = types.SimpleNamespace(PIPE=subprocess.PIPE, Popen=_popen)


def _preload(package: types.ModuleType) -> None:
    for folder in map(Path, getattr(package, "__path__", ())):
        if package.__name__ != "dstream_sdk":
            for path in sorted(folder.rglob("*.py")):
                name = ".".join([package.__name__, *path.relative_to(folder).with_suffix("").parts])
                if not name.endswith("__main__"):
                    importlib.import_module(name.removesuffix(".__init__"))


def _popen(
    argv: Sequence[str],
    *,
    stdin: int,
    env: Mapping[str, str],
    cwd: str | None,
    pass_fds: Iterable[int],
    **options: object,
) -> subprocess.Popen[bytes] | Forked:
    """Start a provider as subprocess.Popen would with the arguments of `dstream.plugins.process`."""
    at = argv.index("--") + 1 if "--pdeathsig" in argv else 0
    if at and _is_forked(argv[at], env, cwd):
        return Forked(argv[at:], stdin, env, cwd, set(pass_fds))
    return subprocess.Popen(argv, stdin=stdin, env=env, cwd=cwd, pass_fds=pass_fds, **options)  # type: ignore[call-overload]


def _is_forked(program: str, env: Mapping[str, str], cwd: str | None) -> bool:
    if any(_read.get(name) != value for name, value in read_at_start(env).items()):
        return False
    return is_ours(Path(cwd or ".", program))


def is_ours(path: Path) -> bool:
    """Return whether a path is that of a program that this Python runs, without options."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        longest = max(map(len, _STARTS))
        return os.access(path, os.X_OK) and file.read(longest).startswith(_STARTS)
    return False


class Forked:
    """A started provider, with what dstream uses of a Popen."""

    def __init__(
        self, argv: Sequence[str], stdin: int, env: Mapping[str, str], cwd: str | None, kept: set[int]
    ) -> None:
        """Fork; the process runs `argv` in `cwd` with the descriptors in `kept`, and ends with this thread."""
        self.returncode: int | None = None
        self.stdin: io.FileIO | None = None
        theirs = [stdin]
        if stdin == subprocess.PIPE:
            theirs[0], ours = os.pipe()
            self.stdin = io.FileIO(ours, "w")
        ends = [os.pipe(), os.pipe()]
        self.stdout, self.stderr = (io.FileIO(ours, "r") for ours, _ in ends)
        theirs += [end for _, end in ends]
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _run(parent, argv, theirs, env, cwd, kept)
        for descriptor in theirs if self.stdin else theirs[1:]:
            os.close(descriptor)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for the end; return the exit code."""
        return self._reap(0)

    def _reap(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


# -- in the provider's process -----------------------------------------------------------------------


def _run(
    parent: int, argv: Sequence[str], streams: list[int], env: Mapping[str, str], cwd: str | None, kept: set[int]
) -> NoReturn:
    """Make the fork what a new process would be, and run the program."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _leave_the_command_behind()
        for descriptor, own in zip(streams, (0, 1, 2), strict=True):
            os.dup2(descriptor, own)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        for descriptor in {int(each) for each in os.listdir("/proc/self/fd")} - {0, 1, 2} - kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        old = sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__
        _open_streams()
        if cwd is not None:
            os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        show_arguments(argv if argv[0] == sys.executable else [sys.executable, *argv])
        code = execute(argv)
        del old  # until here: closing them would write what the command has left in their buffers
    except BaseException:  # noqa: BLE001 - nothing of the command may go on
        traceback.print_exc()
        code = 1
    end(code)


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _leave_the_command_behind() -> None:
    """Undo what the command has changed in the interpreter."""
    gc.freeze()  # what a collection freed would close descriptors that are the provider's by then
    gc.enable()
    gc.set_threshold(*COLLECTOR)
    sys.setrecursionlimit(RECURSION)
    sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit._clear()
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__


def _open_streams() -> None:
    streams = []
    for number, old in enumerate((sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        assert isinstance(old, io.TextIOWrapper)
        binary = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115 - it stays open
        streams.append(io.TextIOWrapper(binary, old.encoding, old.errors, line_buffering=number == 2))
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]


def execute(argv: Sequence[str]) -> int:
    """Run a script, or after `python -m` a module, as the main program; return its exit code."""
    importlib.reload(failpoints)  # which reads its variable when it is imported
    try:
        if argv[1:2] == ["-m"]:
            sys.argv = list(argv[2:])
            runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
        else:
            script = list(argv[1:] if argv[0] == sys.executable else argv)
            _run_script(Path(script[0]), script)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - as the interpreter ends then
        traceback.print_exc()
        return 1
    return 0


def _run_script(path: Path, argv: list[str]) -> None:
    if sys.platform == "linux":
        _prctl(_PR_SET_NAME, path.name[:15].encode())
    sys.argv = argv
    sys.path[0] = str(path.resolve().parent)
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))  # noqa: S102 - as Python runs it
