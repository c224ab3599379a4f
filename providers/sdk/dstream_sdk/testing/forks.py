"""Fork servers under test: a host that speaks to one, as far as rule R18 needs it."""

from __future__ import annotations

import array
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any, cast

from dstream_sdk.testing.process import Failed
from dstream_sdk.testing.transcript import as_line


class ForkServerProcess:
    """One fork server; a context manager that ends it whatever happens."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], role: str, timeout: float) -> None:
        """Start the server; raise Failed unless it gets ready."""
        self._control, server_end = socket.socketpair()
        self._timeout = timeout
        with server_end:
            self._process = subprocess.Popen(
                list(argv),
                stdin=server_end.fileno(),
                stdout=subprocess.PIPE,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._next = 0
        self.send(command="fork", protocol=2, role=role)
        ready = self.read()
        if ready.get("status") != "ready":
            raise Failed(f"R18: it announces forks, and is no fork server: {ready}")

    def __enter__(self) -> ForkServerProcess:
        """Return the server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill the server, and with it its sessions."""
        self.kill()
        self._control.close()
        self._answers.close()

    def send(self, *descriptors: int, **request: Any) -> None:
        """Write a request, with the descriptors that go with it."""
        given = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self._control.sendmsg([as_line(request)], given)

    def read(self) -> dict[str, Any]:
        """Return the next answer; raise Failed if there is none in time."""
        if not select.select([self._answers], [], [], self._timeout)[0]:
            raise Failed("R18: no answer from the fork server")
        line = self._answers.readline()
        if not line:
            raise Failed(f"R18: the fork server has ended with {self._process.wait()}")
        return cast("dict[str, Any]", json.loads(line))

    def fork(self) -> ForkedSession:
        """Return a new session; raise Failed if none is started."""
        self._next += 1
        stdin, stdout = os.pipe(), os.pipe()
        self.send(stdin[0], stdout[1], 2, id=self._next, command="start", descriptors=3)
        os.close(stdin[0])
        os.close(stdout[1])
        answer = self.read()
        if answer.get("status") != "started" or answer.get("id") != self._next:
            raise Failed(f"R18: a session was not started: {answer}")
        return ForkedSession(self._next, answer["pid"], stdin[1], stdout[0], self._timeout)

    def release(self, session: ForkedSession) -> int:
        """Wait for the end of a session; return its exit code."""
        ended = self.read()
        if ended.get("status") != "ended" or ended.get("id") != session.number:
            raise Failed(f"R18: expected the end of session {session.number}, found {ended}")
        self.send(id=session.number, command="release")
        return cast("int", ended["code"])

    def kill(self) -> None:
        """Kill the server as a crash would."""
        self._process.kill()
        self._process.wait()


class ForkedSession:
    """A process that a fork server has started, and this side of its pipes."""

    def __init__(self, number: int, pid: int, stdin: int, stdout: int, timeout: float) -> None:
        """Take the session `number` of the server."""
        self.number, self.pid, self._timeout = number, pid, timeout
        self._stdin, self._stdout = stdin, stdout

    def leads(self) -> bool:
        """Return whether it leads a process group of its own."""
        return os.getpgid(self.pid) == self.pid

    def ask(self, opening: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Write the opening line and the end of standard input; return all lines of standard output."""
        os.write(self._stdin, as_line(opening))
        os.close(self._stdin)
        text = b""
        while chunk := self._read():
            text += chunk
        return [json.loads(line) for line in text.splitlines()]

    def ends(self) -> bool:
        """Return whether standard output ends, without that anything is written."""
        return self._read() == b""

    def terminate(self, number: signal.Signals) -> None:
        """Send a signal to the process group."""
        os.killpg(self.pid, number)

    def _read(self) -> bytes:
        if not select.select([self._stdout], [], [], self._timeout)[0]:
            raise Failed(f"R18: the standard output of session {self.number} stays open")
        return os.read(self._stdout, 1 << 16)


def check_forks(
    argv: Sequence[str],
    env: Mapping[str, str],
    role: str,
    opening: Mapping[str, Any],
    alone: list[dict[str, Any]],
    timeout: float,
) -> None:
    """Hold a provider to R18; Failed says what it does otherwise. `alone` is what it answers to `opening` unforked."""
    with ForkServerProcess(argv, env, role, timeout) as server:
        one, two, three = server.fork(), server.fork(), server.fork()
        if not one.leads():
            raise Failed("R18: a session leads no process group of its own")
        two.terminate(signal.SIGKILL)
        if server.release(two) != -signal.SIGKILL:
            raise Failed("R18: a session that was killed did not end with -9")
        lines = three.ask(opening)
        if lines != alone:
            raise Failed(f"R18: a session answers otherwise than a process of its own: {lines}")
        if server.release(three) != 0:
            raise Failed("R18: a session that went well did not end with 0")
        server.kill()
        if not one.ends():
            raise Failed("R18: a session outlives its server")
