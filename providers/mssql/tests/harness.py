"""A small host for tests: starts the provider's real program and speaks its protocol."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.services.mssql.server import SqlServer

Json = dict[str, Any]


def config_of(server: SqlServer, *tables: str, database: str = "shop", login: str = "sa", **more: Any) -> Json:
    """Settings that read a database of the stand-in, quickly."""
    own = {"connection_string": server.connection_string(database, login), "tables": list(tables)}
    return {**own, "poll_interval": "20ms", "max_poll_interval": "100ms", "checkpoint_interval": "10ms", **more}


def spawn(role: str, opening: Mapping[str, Any], **environment: str) -> subprocess.Popen[bytes]:
    """Start the provider and write its opening line."""
    kept = ("PATH", "PYTHONPATH", "DSTREAM_DEBUG")
    process = subprocess.Popen(
        [sys.executable, "-m", "dstream_mssql", role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**{name: os.environ[name] for name in kept if name in os.environ}, **environment},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(opening).encode() + b"\n")
    process.stdin.flush()
    return process


class InputRun:
    """A running input: its lines as they come, and checkpoints committed as they come."""

    def __init__(
        self,
        config: Mapping[str, Any],
        checkpoint: Json | None = None,
        *,
        until: str | None = "current",
        max_records: int | None = None,
        acks: bool = True,
        commit: bool = True,
        **environment: str,
    ) -> None:
        opening: Json = {
            "command": "run",
            "protocol": 2,
            "role": "input",
            "task": "t",
            "config": config,
            "checkpoint": checkpoint,
            "acks": acks,
        }
        if until:
            opening["until"] = until
        if max_records is not None:
            opening["max_records"] = max_records
        self.process = spawn("in", opening, **environment)
        self.checkpoint = checkpoint
        self.commit = commit
        self.envelopes: list[Json] = []
        self.covered = 0
        """How many envelopes the last checkpoint stands behind."""
        self.lines: list[bytes] = []
        self.status: Json = {}
        self.ended = False
        self._said: list[bytes] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # half a line is dropped, as the pump does
            self.lines.append(line)
            value = json.loads(line)
            if "status" in value:
                self.status = value
            elif "checkpoint" in value:
                self.checkpoint = value["checkpoint"]
                self.covered = len(self.envelopes)
                if self.commit:
                    self._commit(value["n"], value["checkpoint"])
            elif "end" in value:
                self.ended = True
            else:
                self.envelopes.append(value)
            self._news.put(None)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._said.append(line)
            self._news.put(None)

    def _commit(self, number: int, checkpoint: Json) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"committed": {"n": number, "checkpoint": checkpoint}}).encode() + b"\n"
        with contextlib.suppress(OSError, ValueError):  # it has ended, or its input was closed
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def wait_for(self, condition: Callable[[InputRun], bool], timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while not condition(self):
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s; seen: {self.lines[-5:]} {self.said}")
            try:
                self._news.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None and not condition(self):
                    self._join()
                    if not condition(self):
                        raise AssertionError(f"the input has ended: {self.lines[-5:]} {self.said}") from None

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(10)

    def finish(self, timeout: float = 60.0) -> InputRun:
        """Wait for the end by itself."""
        self.process.wait(timeout)
        self._join()
        return self

    def stop(self) -> InputRun:
        """End it as the host does: SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.finish(30)

    def kill(self) -> InputRun:
        self.process.kill()
        return self.finish(30)

    @property
    def said(self) -> str:
        """What it has written to stderr."""
        return b"".join(self._said).decode()

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Operation and data of each envelope."""
        return [(one["metadata"]["OperationType"], one["data"]) for one in self.envelopes]


def read(config: Mapping[str, Any], checkpoint: Json | None = None, **more: Any) -> InputRun:
    """One session up to the present end."""
    run = InputRun(config, checkpoint, **more).finish()
    assert run.ended, (run.status, run.said)
    return run


def refusal(config: Mapping[str, Any], checkpoint: Json | None = None) -> Json:
    """The first diagnostic of a session that is refused."""
    run = InputRun(config, checkpoint).finish()
    assert run.status.get("status") == "error", (run.lines, run.said)
    found: Json = run.status["diagnostics"][0]
    return found


def plan(config: Mapping[str, Any]) -> list[Json]:
    """The answer of a derivation."""
    process = spawn("in", {"command": "plan", "protocol": 2, "role": "input", "task": "t", "config": config})
    answer, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in answer.splitlines()]


class ResourceRun:
    """A resource session."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.process = spawn(
            "resource", {"command": "serve", "protocol": 2, "role": "resource", "config": dict(config)}
        )
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["status"] == "ready"
        self._number = 0

    def ask(self, command: str, kind: str, **members: Any) -> Json:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._number += 1
        request = {"id": self._number, "command": command, "type": kind, **members}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer: Json = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0
