"""Provider processes: started without a shell, in a group of their own, and ended with the host.

Every process is started by one thread that lives as long as the program, for two reasons: starting returns at
once, and the parent-death signal of Linux follows the *thread* that started a process. The signal is set by
`setpriv` (util-linux) where there is one, since a `preexec_fn` would make Python copy the process first.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dstream.diagnostics import DiagnosticsError, error
from dstream.plugins.binary import Binary
from dstream.plugins.environment import provider_environment
from dstream.plugins.leader import Child, Leader
from dstream.plugins.provider_log import has_listeners, note
from dstream.plugins.watchdog import Watchdog

if TYPE_CHECKING:
    import socket

_watchdog = Watchdog()


class Pipe(Protocol):
    """One end of a pipe or a socket."""

    def fileno(self) -> int:
        """Return its descriptor."""

    def close(self) -> None:
        """Close it."""


def watch_group(pid: int) -> None:
    """End the process group that `pid` leads together with this process."""
    _watchdog.add(pid)


class ProviderProcess:
    """One running provider: three pipes, an exit code, and ways to end it and all that it started."""

    def __init__(
        self, name: str, leader: Leader, pipes: Sequence[Pipe], ended: Callable[[], None] | None = None
    ) -> None:
        """Take the leader of a session and its stdin, stdout and stderr; `ended` is called once, at its end."""
        self.name = name
        self.pid = leader.pid
        self.started = _start_time(leader.pid)
        """When it started as the kernel counts it; with the pid it names the process for good. None if unknown."""
        self._leader = leader
        self._code: int | None = None
        self._ended = ended
        self._lock = threading.Lock()
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in pipes)
        self._open = dict(enumerate(pipes))

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal) or None while it runs; what it leaves behind is killed."""
        with self._lock:
            if self._code is None and self._leader.exited():
                # The dead leader still holds the pid, so no other process can have the group.
                self._leader.signal_group(signal.SIGKILL)
                self._code = self._leader.reap()
                note("debug", self.name, f"process {self.pid} {describe_exit(self._code)}")
                _watchdog.remove(self.pid)
                self._tell_ended()
            return self._code

    def wait(self, timeout: float) -> int | None:
        """Return the exit code, waiting `timeout` seconds at most."""
        until = time.monotonic() + timeout
        pause = 0.0005
        while (code := self.poll()) is None and time.monotonic() < until:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return code

    def terminate(self) -> None:
        """Ask the process and what it started to end (SIGTERM)."""
        with self._lock:
            if self._code is None:
                self._leader.signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and what it started immediately (SIGKILL)."""
        with self._lock:
            if self._code is None:
                self._leader.signal_group(signal.SIGKILL)
                self._tell_ended()

    def _tell_ended(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def close_stdin(self) -> None:
        """Close the pipe to the process: to a version 2 provider that means stop."""
        self._close(0)

    def close(self) -> None:
        """Kill what still runs, and close all pipes."""
        if self.poll() is None:
            self.kill()
            self.wait(5.0)
        for number in (0, 1, 2):
            self._close(number)

    def _close(self, number: int) -> None:
        with self._lock:
            pipe = self._open.pop(number, None)
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


class Starting:
    """A process that is being started."""

    def __init__(self) -> None:
        """Not started yet."""
        self._done = threading.Event()
        self._process: ProviderProcess | None = None
        self._problem: Exception | None = None

    def set(self, process: ProviderProcess | None, problem: Exception | None = None) -> None:
        """Say how it went."""
        self._process, self._problem = process, problem
        self._done.set()

    def result(self) -> ProviderProcess:
        """Wait until it runs and return it; raise DiagnosticsError if it cannot be started."""
        self._done.wait()
        if self._process is None:
            raise self._problem or RuntimeError("not started")
        return self._process


def begin(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    inherit: Iterable[int] = (),
    folder: str | None = None,
    ended: Callable[[], None] | None = None,
    control: tuple[socket.socket, socket.socket] | None = None,
) -> Starting:
    """Start a provider in `folder` without waiting for it. `inherit` are descriptors (of locks) that it keeps open.

    `ended` is called once when the process has ended, or is killed. `control` is a pair of sockets in place of the
    pipe to its standard input: the first becomes `stdin` of the result, the second its standard input.
    """
    starting = Starting()
    _spawner().put(_Job(name, tuple(argv), environment, tuple(inherit), folder, ended, control, starting))
    return starting


def begin_binary(binary: Binary, inherit: Iterable[int] = (), environment: Mapping[str, str] | None = None) -> Starting:
    """Start the program of a provider without waiting for it, with the environment of its block unless one is given."""
    seen = provider_environment(binary.source.env) if environment is None else environment
    seen = {**seen, **binary.environment}
    if binary.container is None:
        return begin(binary.name, binary.argv, seen, inherit, binary.folder)
    run = binary.container.command(seen, binary.source.env)
    return begin(binary.name, run.argv, run.environment, inherit, binary.folder, run.remove)


def spawn(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    inherit: Iterable[int] = (),
    folder: str | None = None,
) -> ProviderProcess:
    """Start a provider and return when it runs; raise DiagnosticsError if it cannot be started."""
    return begin(name, argv, environment, inherit, folder).result()


class _Job(NamedTuple):
    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    inherit: tuple[int, ...]
    folder: str | None
    ended: Callable[[], None] | None
    control: tuple[socket.socket, socket.socket] | None
    starting: Starting


@cache
def _spawner() -> SimpleQueue[_Job]:
    jobs: SimpleQueue[_Job] = SimpleQueue()
    threading.Thread(target=_spawn_for_ever, args=(jobs,), name="spawner", daemon=True).start()
    return jobs


def _spawn_for_ever(jobs: SimpleQueue[_Job]) -> None:
    while True:
        name, argv, environment, inherit, folder, ended, control, starting = jobs.get()
        try:
            popen = subprocess.Popen(
                [*_with_parent_death_signal(), *argv],
                stdin=control[1].fileno() if control is not None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=folder,
                pass_fds=inherit,
                start_new_session=True,
            )
            _watchdog.add(popen.pid)
            if has_listeners():
                note("debug", name, f"process {popen.pid} is started: {shlex.join(argv)}")
            stdin = control[0] if control is not None else popen.stdin
            assert stdin and popen.stdout and popen.stderr  # noqa: S101 - it is always started with three pipes
            starting.set(ProviderProcess(name, Child(popen), (stdin, popen.stdout, popen.stderr), ended))
        except OSError as problem:
            detail = f"{argv[0]}: {problem.strerror or problem}. Check that it is a program for this machine."
            starting.set(None, DiagnosticsError(error("Provider start failure", detail)))
        except Exception as problem:  # noqa: BLE001 - whoever waits for the process must not wait indefinitely
            starting.set(None, problem)
        finally:
            if control is not None:
                control[1].close()


@cache
def _with_parent_death_signal() -> tuple[str, ...]:
    """Return the command that sets the parent-death signal and then runs its arguments; empty where there is none."""
    if sys.platform.startswith("linux"):
        for folder in ("/usr/bin", "/bin"):
            launcher = Path(folder, "setpriv")
            # BusyBox has a setpriv too, without this option.
            if os.access(launcher, os.X_OK) and b"pdeathsig" in launcher.read_bytes():
                return (str(launcher), "--pdeathsig", "KILL", "--")
    return ()


def _start_time(pid: int) -> int | None:
    from dstream_state.processes import start_time

    return start_time(pid)


def describe_exit(code: int | None) -> str:
    """Return how a process ended, as part of a sentence."""
    if code is None:
        return "did not end"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
