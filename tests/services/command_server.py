"""Runs `dstream` commands in forked children of one process that has already imported dstream.

    ended = run(["plan", "-json"], cwd=folder, env=environment, stdin=b"", timeout=60)

Most of the processor time of a short command is Python's start-up and its imports, and it is the same each time. The
server pays it once for each test process. Every command is still a process of its own, with its own working directory,
environment, descriptors, signal handlers and threads, and it ends as the real one does. What differs: modules are
imported already, the interpreter has read its own variables (PYTHON..., locale, time zone) earlier, and scrypt, for an
encrypted state and for the secrets of a saved plan, runs at the lowest cost that dstream reads. The providers in Python
that a command starts are forks as well (`tests.services.provider_forks`). Use a real process where a test is about
those.

The server takes requests on a socket: one line of JSON, with the command's standard input, output and error and the
write end of a status pipe. To that pipe the command writes its process ID; when it has ended, the server writes its
wait status and the processor time it took. The server ends when its end of the socket is closed, that is, with the test
process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.services import provider_forks
from tests.services.forked import Forked
from tests.services.interpreter import ROOM, end, read_at_start, show_arguments

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("deepdiff", "networkx", "azure.storage.blob", "azure.identity", "dstream_sdk")
"""What commands import beside dstream itself."""
_CHUNK = 1 << 16


@dataclass(slots=True)
class Served:
    """How many commands were run for this process, and the processor time that they took, in seconds."""

    commands: int = 0
    processor: float = 0.0

    def add(self, processor: float) -> None:
        """Count one that has ended."""
        self.commands += 1
        self.processor += processor


served = Served()


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, negative for a signal, and what it printed."""

    code: int
    out: bytes
    err: bytes


def run(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: bytes, timeout: float) -> Done:
    """Run a command to its end; raise subprocess.TimeoutExpired, having killed it, where it takes too long.

    `env` is its whole environment. As with subprocess.run, the end is also the end of both outputs.
    """
    until = time.monotonic() + timeout
    ends = [os.pipe() for _ in range(4)]
    (in_read, in_write), (out_read, out_write), (err_read, err_write), (status_read, status_write) = ends
    theirs = (in_read, out_write, err_write, status_write)
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
    try:
        _server().send(request, theirs)
    except BaseException:
        _close((in_write, out_read, err_read, status_read))
        raise
    finally:
        _close(theirs)
    pid = 0
    try:
        pid = int(_status(status_read, until))
        found = _exchange(in_write, stdin, out_read, err_read, until)
        status, processor = _status(status_read, until).split()
    except TimeoutError:
        if pid:
            os.kill(pid, signal.SIGKILL)  # its status is not written, so the server has not reaped it
        raise subprocess.TimeoutExpired(["dstream", *arguments], timeout) from None
    finally:
        _close((out_read, err_read, status_read))
    served.add(float(processor))
    return Done(os.waitstatus_to_exitcode(int(status)), found[out_read], found[err_read])


def start(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Forked:
    """Start a command that leads a session of its own and has nothing on standard input; its outputs are texts."""
    request = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "leads": True}
    with open(os.devnull, "rb") as nothing:
        return _started(["dstream", *arguments], request, nothing.fileno(), text=True)


def start_program(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], leads: bool = False, text: bool = False
) -> Forked:
    """Start a program that `provider_forks` can fork, with three pipes, for bytes or for texts."""
    request = {"program": list(argv), "cwd": str(cwd), "env": dict(env), "leads": leads}
    return _started(argv, request, text=text)


def has_read(env: Mapping[str, str]) -> bool:
    """Return whether those variables in `env` that are read only once are the ones that the server has read."""
    return read_at_start(env) == _server().read


def _started(
    argv: Sequence[str], request: Mapping[str, object], stdin: int | None = None, *, text: bool = False
) -> Forked:
    ends = [os.pipe() for _ in range(4)]
    (in_read, in_write), (out_read, out_write), (err_read, err_write), (status_read, status_write) = ends
    theirs = (in_read if stdin is None else stdin, out_write, err_write, status_write)
    try:
        _server().send(request, theirs)
    except BaseException:
        _close((in_write, out_read, err_read, status_read))
        raise
    finally:
        _close((in_read, out_write, err_write, status_write))
    return Forked(argv, (in_write, out_read, err_read), status_read, served.add, text=text)


def _exchange(in_write: int, stdin: bytes, out_read: int, err_read: int, until: float) -> dict[int, bytes]:
    """Write standard input, close it, and read both outputs to their ends."""
    found = {out_read: bytearray(), err_read: bytearray()}
    rest = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        selector.register(out_read, selectors.EVENT_READ)
        selector.register(err_read, selectors.EVENT_READ)
        if rest:
            os.set_blocking(in_write, False)
            selector.register(in_write, selectors.EVENT_WRITE)
        else:
            os.close(in_write)
        try:
            while selector.get_map():
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready and time.monotonic() >= until:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fd == in_write:
                        try:
                            rest = rest[os.write(in_write, rest[:_CHUNK]) :]
                        except BrokenPipeError:
                            rest = rest[:0]
                        if not rest:
                            selector.unregister(in_write)
                            os.close(in_write)
                    elif chunk := os.read(key.fd, _CHUNK):
                        found[key.fd] += chunk
                    else:
                        selector.unregister(key.fd)
        finally:
            if in_write in selector.get_map():
                os.close(in_write)
    return {descriptor: bytes(text) for descriptor, text in found.items()}


def _status(descriptor: int, until: float) -> str:
    """Read one line of a status pipe."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        chunk = os.read(descriptor, 1)
        if not chunk:
            raise RuntimeError("the command server has ended")
        line += chunk
    return line.decode()


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class _Server:
    """The server, as the test process sees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.read = read_at_start(os.environ)
            command = [sys.executable, "-m", "tests.services.command_server", str(theirs.fileno()), ROOM]
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )

    def send(self, request: Mapping[str, object], descriptors: Sequence[int]) -> None:
        """Send a request together with the descriptors that it is about."""
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            sent = socket.send_fds(self._socket, [line], list(descriptors))
            self._socket.sendall(line[sent:])


@cache
def _server() -> _Server:
    return _Server()


# -- the server's side -------------------------------------------------------------------------------


def serve(descriptor: int) -> dict[str, object]:
    """Take requests until the socket is closed; returns one in a forked child, which then does what it asks for."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    running: dict[int, int] = {}
    with socket.socket(fileno=descriptor) as requests:
        while True:
            readable, _, _ = select.select([requests, wake_read], [], [])
            if wake_read in readable:
                os.read(wake_read, _CHUNK)
                _reap(running)
            if requests in readable:
                received = _receive(requests)
                if received is None:
                    sys.exit(0)
                request, descriptors = received
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _close((wake_read, wake_write, *running.values()))
                    _become(request, descriptors)
                    return request
                _close(descriptors[:3])
                running[pid] = descriptors[3]


def _receive(requests: socket.socket) -> tuple[dict[str, object], list[int]] | None:
    line, descriptors, _, _ = socket.recv_fds(requests, _CHUNK, 4)
    while line and not line.endswith(b"\n"):
        line += requests.recv(_CHUNK)
    return (json.loads(line), descriptors) if line else None


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            pipe = running.pop(pid)
            _write(pipe, f"{status} {usage.ru_utime + usage.ru_stime}\n")
            os.close(pipe)


def _write(pipe: int, line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test has given the command up
        os.write(pipe, line.encode())


def _become(request: dict[str, object], descriptors: list[int]) -> None:
    """Make a forked child what a new process would be, and tell its process ID."""
    if request.get("leads"):
        os.setsid()
    _write(descriptors[3], f"{os.getpid()}\n")
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    _close(descriptors)
    os.chdir(str(request["cwd"]))
    environment, arguments = request["env"], request.get("arguments", [])
    assert isinstance(environment, dict) and isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(sys.executable).with_name("dstream")), *arguments]
    program = request.get("program")
    shown = program if isinstance(program, list) else sys.argv
    show_arguments(shown if shown[0] == sys.executable else [sys.executable, *shown])


def preload() -> None:
    """Import all that commands import, and build the parser's tables."""
    import dstream

    for name in PRELOADED:
        importlib.import_module(name)
    folder = Path(dstream.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        if not name.endswith("__main__") and "scaffold" not in name:
            importlib.import_module(name.removesuffix(".__init__"))
    from dstream.config.syntax.grammar import table
    from dstream.engine.plan import plan_file
    from dstream_state import passphrase

    provider_forks.install()
    table()
    # Half a second for each command, otherwise. A command with an interpreter of its own reads what this one writes.
    passphrase.SCRYPT_N = plan_file.SCRYPT_N = passphrase.LEAST_N


if __name__ == "__main__":
    preload()
    gc.collect()
    gc.freeze()
    asked = serve(int(sys.argv[1]))
    if isinstance(program := asked.get("program"), list):
        end(provider_forks.execute(program))
    from dstream.cli import main

    try:
        main()
    except SystemExit as ended:
        end(ended.code if isinstance(ended.code, int) else 0)
    except BaseException:  # noqa: BLE001 - as the interpreter ends then
        traceback.print_exc()
    end(1)
