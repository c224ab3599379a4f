"""Fork server: a provider that has loaded once and forks a process for each session.

Standard input is a Unix socket, over which requests come with the descriptors of a session's pipes. A session starts
as in a process of its own: in a process group of its own, with nothing but its own descriptors, before any of its
configuration is known. The server never reads a configuration, and has no threads and no connections that a session
could inherit: what has started or opened one while it was loaded is not forked at all.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from dstream_sdk.channel import Writer, encode
from dstream_sdk.errors import InvalidError, ProviderError
from dstream_sdk.handshake import refusal
from dstream_sdk.provider import Provider
from dstream_sdk.request import parse_request
from dstream_sdk.settings import decode

CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
"""Whether this system can: elsewhere a process that forks without starting another program may crash in libraries."""

_PRELOADS = ("datetime", "decimal", "fcntl")
_REFUSED = "Fork not possible"
_PR_SET_PDEATHSIG = 1
_MOST = 64
"""The maximum number of descriptors in one message."""
_CHUNK = 64 * 1024


class _Session(NamedTuple):
    """A process that was forked, and the descriptor that becomes readable when it has ended."""

    number: int
    pid: int
    watch: int


class ForkServer:
    """Answers `start` with the process of a session, and reports how each one ends."""

    def __init__(self, descriptor: int, writer: Writer) -> None:
        """Take requests from `descriptor`, a Unix socket; raise ProviderError if this process cannot be forked."""
        _check({0, 1, 2, descriptor, writer.fd})
        self._prctl: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
        try:
            self._control = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            raise InvalidError("Not a socket", "a fork server takes requests from a Unix socket") from None
        self._writer = writer
        self._buffer = b""
        self._received: list[int] = []
        self._poll = select.poll()
        self._sessions: dict[int, _Session] = {}
        """Those whose process has not been released, by number."""
        self._watched: dict[int, _Session] = {}
        """Those whose end is not reported yet, by descriptor."""

    def run(self, session: Callable[[], int]) -> int:
        """Serve until the host closes the socket; return the exit code.

        In the process of a session, standard input, output and error are those of the session; there, the return
        value is that of `session`.
        """
        gc.collect()
        gc.freeze()  # so that the collector of a session does not write to pages that all of them share
        self._writer.send(b'{"status":"ready","protocol":2}')
        control = self._control.fileno()
        self._poll.register(control, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != control:
                    self._report(self._watched.pop(descriptor))
                    continue
                requests = self._receive()
                if requests is None:
                    self._end()
                    return 0
                if any(self._serve(request) for request in requests):
                    return session()

    def _receive(self) -> list[dict[str, Any]] | None:
        """Return the requests that have come; None at the end."""
        room = socket.CMSG_SPACE(_MOST * array.array("i").itemsize)
        data, ancillary, _, _ = self._control.recvmsg(_CHUNK, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
                self._received.extend(found)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [parse_request(line) for line in lines if line.strip()]

    def _serve(self, request: dict[str, Any]) -> bool:
        """Answer a request; return True in the process of a session."""
        number, command = request["id"], request.get("command")
        try:
            if command == "release":
                self._release(number)
                return False
            if command != "start":
                raise InvalidError("No such command", f"{command!r} is neither `start` nor `release`")
            pid = self._start(number, request.get("descriptors"))
        except (ProviderError, OSError) as problem:
            self._writer.send(encode({"id": number, **refusal(problem)}))
            return False
        if pid:
            self._writer.send(encode({"id": number, "status": "started", "pid": pid}))
        return not pid

    def _start(self, number: int, count: Any) -> int:
        """Fork; return the pid, or 0 in the process of the session."""
        if not isinstance(count, int) or not 3 <= count <= len(self._received):
            raise InvalidError("No descriptors", f"{count!r} were announced and {len(self._received)} have come")
        given, self._received = self._received[:count], self._received[count:]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        server = os.getpid()
        leads, led = os.pipe()
        try:
            pid = os.fork()
            if not pid:
                self._become_session(server, given, led)
                return 0
        except OSError:
            os.close(leads)
            raise
        finally:
            if os.getpid() == server:
                for descriptor in (*given, led):
                    os.close(descriptor)
        os.read(leads, 1)  # until the process leads its group, to which the host may send a signal
        os.close(leads)
        found = _Session(number, pid, os.pidfd_open(pid))
        self._sessions[number] = self._watched[found.watch] = found
        self._poll.register(found.watch, select.POLLIN)
        return pid

    def _become_session(self, server: int, given: list[int], led: int) -> None:
        """Leave everything of the server behind: group, life, descriptors; `led` is closed once the first two are."""
        try:
            os.setsid()
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:  # it ended before this process could be told of its end
                os._exit(1)
            os.close(led)
            for descriptor, own in zip(given[:3], (0, 1, 2), strict=True):
                os.dup2(descriptor, own)
            for descriptor in given[3:]:
                os.set_inheritable(descriptor, True)
            self._control.detach()
            for descriptor in _open_descriptors() - {0, 1, 2, *given[3:]}:
                os.close(descriptor)
        except BaseException:  # noqa: BLE001 - the way back leads to the server's own answers
            os._exit(1)

    def _report(self, session: _Session) -> None:
        """Report the end of a session. Its process keeps the pid until the host has ended what it left behind."""
        self._poll.unregister(session.watch)
        os.close(session.watch)
        ended = os.waitid(os.P_PID, session.pid, os.WEXITED | os.WNOWAIT)
        code = 1 if ended is None else ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self._writer.send(encode({"id": session.number, "status": "ended", "code": code}))

    def _release(self, number: int) -> None:
        session = self._sessions.get(number)
        if session is None:
            raise InvalidError("No such session", f"{number!r} was not started, or is released already")
        if session.watch in self._watched:
            raise InvalidError("Session still running", f"{number!r} has not ended")
        del self._sessions[number]
        os.waitpid(session.pid, 0)

    def _end(self) -> None:
        """Kill the sessions that are left: without the host they are of no use."""
        for session in self._sessions.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session.pid, signal.SIGKILL)


def preload(provider: Provider) -> None:
    """Import what a session imports when it needs it, and look at the dataclass of the configuration once."""
    parts = [part for part in (provider.input, provider.output) if part is not None]
    for name in (*_PRELOADS, *(name for part in parts for name in part.preloads)):
        import_module(name)
    with contextlib.suppress(ProviderError):  # settings without a default are missing
        decode(provider.config(), {})


def _check(own: set[int]) -> None:
    """Refuse to fork what a session could not use: threads do not survive, and connections would be shared."""
    if not CAN_FORK:
        raise ProviderError(_REFUSED, "this system does not let a process fork safely")
    threads = len(_numbers("/proc/self/task"))
    if threads > 1:
        raise ProviderError(_REFUSED, f"loading the provider has started {threads - 1} thread(s)")
    strange = sorted(_open_descriptors() - own)
    if strange:
        raise ProviderError(_REFUSED, f"loading the provider has opened {_described(strange)}")


def _open_descriptors() -> set[int]:
    """Return the descriptors that are open, without the one that lists them."""
    return {each for each in _numbers("/proc/self/fd") if _is_open(each)}


def _numbers(folder: str) -> set[int]:
    with os.scandir(folder) as entries:
        return {int(entry.name) for entry in entries}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _described(descriptors: list[int]) -> str:
    return ", ".join(str(Path(f"/proc/self/fd/{each}").readlink()) for each in descriptors)
