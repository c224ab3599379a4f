"""Fork server: a process of a provider that has loaded once, and forks a process for each session.

For providers with the capability `forks`. A session is what it would be without: three pipes, a process group, an exit
code. Where the server does not get ready, or has ended, sessions are started as any other provider is.
"""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from dstream.diagnostics import DiagnosticsError
from dstream.plugins.binary import Binary, Role
from dstream.plugins.pipe_loop import Log
from dstream.plugins.process import ProviderProcess, Starting, begin, begin_binary, describe_exit, watch_group
from dstream.plugins.provider_log import note
from dstream.plugins.redact import RedactedLines, Redactor
from dstream.plugins.session_options import START_SECONDS
from dstream.plugins.wire import PROTOCOL, decode_object, encode
from dstream_state.processes import end, start_time

FORKS = "forks"
"""The capability of a provider that can be a fork server."""
CAN_FORK = sys.platform.startswith("linux")
"""Whether fork servers are used on this system: elsewhere, libraries may crash in a process that was only forked."""
_LOAD_LOG = 16 * 1024
"""Bytes of what loading writes to stderr that each session's stderr begins with; less than a pipe holds."""
_CHUNK = 64 * 1024


class ForkedProcess:
    """The leader of a session that a fork server has started."""

    def __init__(self, server: ForkServer, number: int, pid: int) -> None:
        """Take the session `number` of a server."""
        self.pid = pid
        self.started = start_time(pid)
        self.code: int | None = None
        """How it has ended; set by the server."""
        self._server, self._number = server, number

    def exited(self) -> bool:
        """See `Leader`."""
        return self.code is not None

    def signal_group(self, number: signal.Signals) -> None:
        """See `Leader`. If the server has died, the pid may be another process's by now, which is spared."""
        if start_time(self.pid) in (None, self.started):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def reap(self) -> int:
        """See `Leader`."""
        assert self.code is not None  # noqa: S101 - it has exited
        self._server.release(self._number)
        return self.code


class _Job(NamedTuple):
    starting: Starting
    inherit: tuple[int, ...]


class _Refused(Exception):
    """The server starts no session; the text says why."""


class ForkServer:
    """One server. Starting it does not wait; `begin` may be called by any thread."""

    def __init__(self, binary: Binary, role: Role, environment: Mapping[str, str], redactor: Redactor) -> None:
        """Start the server with the environment that its sessions will have."""
        self._binary, self._role, self._environment, self._redactor = binary, role, environment, redactor
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._answers: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._sessions: dict[int, ForkedProcess] = {}
        self._early: dict[int, int] = {}
        """Codes of sessions that ended before `_sessions` had them."""
        self._next = 1
        self._load_log = b""
        self._ready = False
        self.over = False
        """Whether it starts no more sessions, so that `begin` starts processes as usual."""
        self.refusal = ""
        """Why it never got ready."""
        self._control, server_end = socket.socketpair()
        self._starting = begin(
            binary.name, binary.argv, environment, folder=binary.folder, control=(self._control, server_end)
        )
        self._readers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name=f"forks {binary.name}", daemon=True)
        self._thread.start()

    def begin(self, inherit: Iterable[int] = ()) -> Starting:
        """Start a session without waiting for it; `inherit` are descriptors (of locks) that it keeps open."""
        starting = Starting()
        self._jobs.put(_Job(starting, tuple(inherit)))
        return starting

    def close(self) -> None:
        """End the server, and the sessions that it still has."""
        self._jobs.put(None)
        self._thread.join(START_SECONDS)
        self._end()

    def release(self, number: int) -> None:
        """Let the pid of an ended session go. Does not wait: a server that does not read keeps it until it ends."""
        with self._lock, contextlib.suppress(OSError):
            self._sessions.pop(number, None)
            self._control.send(encode({"id": number, "command": "release"}), socket.MSG_DONTWAIT)

    def _run(self) -> None:
        """Start the sessions one after the other, from the first job to the last."""
        try:
            process = self._starting.result()
            self._await_ready(process)
        except Exception as problem:  # noqa: BLE001 - each session then is a process as usual, and reports what it meets
            self._give_up(str(problem))
        while (job := self._jobs.get()) is not None:
            try:
                if self.over:
                    raise _Refused
                job.starting.set(self._fork(job.inherit))
            except Exception as problem:  # noqa: BLE001 - whoever waits for the process must not wait indefinitely
                if not isinstance(problem, _Refused):
                    note("info", self._binary.name, f"a session is started without its fork server: {problem}")
                _start_alone(self._binary, self._environment, job)

    def _await_ready(self, process: ProviderProcess) -> None:
        for read in (self._read, self._read_errors):
            self._readers.append(threading.Thread(target=read, args=(process,), daemon=True))
            self._readers[-1].start()
        opening = {"command": "fork", "protocol": PROTOCOL, "role": self._role}
        self._control.sendall(encode(opening))
        answer = self._answer()
        if answer.get("status") != "ready":
            raise _Refused(_reason(answer))
        self._ready = True

    def _give_up(self, why: str) -> None:
        self.over, self.refusal = True, self._redactor.text(why)
        note("info", self._binary.name, f"starts a process for each session: {self.refusal}")
        self._end()

    def _end(self) -> None:
        """Kill the server, and close its pipes when nothing reads them any more."""
        with contextlib.suppress(DiagnosticsError):
            process = self._starting.result()
            process.kill()
            for reader in self._readers:
                reader.join(START_SECONDS)
            process.close()

    def _answer(self) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=START_SECONDS)
        except Empty:
            self.over = True
            raise _Refused(f"no answer within {START_SECONDS:g} s") from None
        if answer is None:
            raise _Refused("the server has ended")
        return answer

    def _fork(self, inherit: tuple[int, ...]) -> ProviderProcess:
        """Have the server fork; the pipes are made here, and their other ends go to the process."""
        number, self._next = self._next, self._next + 1
        pipes = [os.pipe() for _ in range(3)]
        their_ends = [pipes[0][0], pipes[1][1], pipes[2][1]]
        own_ends = [pipes[0][1], pipes[1][0], pipes[2][0]]
        try:
            os.write(their_ends[2], self._load_log)
            given = array.array("i", [*their_ends, *inherit])
            request = encode({"id": number, "command": "start", "descriptors": len(given)})
            with self._lock:
                self._control.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)])
            answer = self._answer()
            pid = answer.get("pid")
            if answer.get("id") != number or answer.get("status") != "started" or not isinstance(pid, int):
                raise _Refused(_reason(answer))
        except BaseException:
            for descriptor in own_ends:
                os.close(descriptor)
            raise
        finally:
            for descriptor in their_ends:
                os.close(descriptor)
        watch_group(pid)
        session = ForkedProcess(self, number, pid)
        with self._lock:
            self._sessions[number] = session
            session.code = self._early.pop(number, -signal.SIGKILL if self.over else None)
        note("debug", self._binary.name, f"process {pid} is forked")
        stdin, stdout, stderr = own_ends
        files = (os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0), os.fdopen(stderr, "rb", 0))
        return ProviderProcess(self._binary.name, session, files)

    def _read(self, process: ProviderProcess) -> None:
        """Read answers, and how sessions end, until the server ends; that is the end of all its sessions."""
        rest = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(process.stdout, _CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(decode_object(line) or {"status": "error", "message": f"it wrote {line[:200]!r}"})
        code = process.wait(START_SECONDS)
        with self._lock:
            self.over = True
            left = [each for each in self._sessions.values() if each.code is None]
        for each in left:
            end(each.pid, each.started)  # if its parent-death signal has not done so yet
            each.code = -signal.SIGKILL
        if left:
            note("info", self._binary.name, f"the fork server {describe_exit(code)}, with {len(left)} sessions")
        self._answers.put(None)

    def _take(self, form: dict[str, Any]) -> None:
        number, code = form.get("id"), form.get("code")
        if form.get("status") != "ended" or not isinstance(number, int) or not isinstance(code, int):
            self._answers.put(form)
            return
        with self._lock:
            session = self._sessions.get(number)
            if session is None:
                self._early[number] = code
            else:
                session.code = code

    def _read_errors(self, process: ProviderProcess) -> None:
        """Keep what loading writes for the sessions, and note what comes later."""
        log: Log = lambda line: note("info", self._binary.name, line)  # noqa: E731
        lines = RedactedLines(self._redactor, log)
        with contextlib.suppress(OSError):
            while chunk := os.read(process.stderr, _CHUNK):
                if not self._ready:
                    self._load_log = (self._load_log + chunk)[:_LOAD_LOG]
                lines.feed(chunk)
        lines.close()


def _reason(answer: Mapping[str, Any]) -> str:
    """Return what an answer gives as the reason for an error."""
    found = answer.get("diagnostics")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return f"{found[0].get('summary')}: {found[0].get('detail')}"
    return str(answer.get("message") or f"it answered {answer!r}")


def _start_alone(binary: Binary, environment: Mapping[str, str], job: _Job) -> None:
    try:
        job.starting.set(begin_binary(binary, job.inherit, environment).result())
    except Exception as problem:  # noqa: BLE001 - it is raised where the process is waited for
        job.starting.set(None, problem)
