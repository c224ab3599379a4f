"""A small host for tests: starts the provider's real programs and speaks their protocol."""

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
from dataclasses import dataclass, field
from typing import Any

from tests.services.postgres import EmbeddedPostgres

Json = dict[str, Any]


@dataclass
class Database:
    """A database of its own on the shared server."""

    server: EmbeddedPostgres
    name: str

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    def execute(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return self.server.execute(sql, parameters, dbname=self.name)

    def prepare(self, *tables: str, task: str = "t") -> None:
        """The publication and slot that the input of `task` reads."""
        self.execute(f"CREATE PUBLICATION dstream_{task} FOR TABLE {', '.join(tables)}")
        self.execute(f"SELECT pg_create_logical_replication_slot('dstream_{task}_{self.name}', 'pgoutput')")

    def config(self, *tables: str, task: str = "t", **more: Any) -> Json:
        slot = f"dstream_{task}_{self.name}"
        own = {"connection_string": self.dsn, "tables": list(tables), "slot": slot, "snapshot": "initial"}
        return {**own, **more}


def spawn(role: str, opening: Mapping[str, Any], **environment: str) -> subprocess.Popen[bytes]:
    """Start a provider and write its opening line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dstream_postgres", role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}, **environment},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(opening).encode() + b"\n")
    process.stdin.flush()
    return process


class InputRun:
    """A running input: its lines as they come, and a way to commit checkpoints."""

    def __init__(
        self,
        config: Mapping[str, Any],
        checkpoint: Json | None = None,
        *,
        task: str = "t",
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
            "task": task,
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
        self.lines: list[bytes] = []
        self.status: Json = {}
        self.ended = False
        self._news: queue.Queue[None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            value = json.loads(line)
            if "status" in value:
                self.status = value
            elif "checkpoint" in value:
                self.checkpoint = value["checkpoint"]
                if self.commit:
                    self.send_committed(value["n"], value["checkpoint"])
            elif "end" in value:
                self.ended = True
            else:
                self.envelopes.append(value)
            self._news.put(None)

    def send_committed(self, number: int, checkpoint: Json) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"committed": {"n": number, "checkpoint": checkpoint}}).encode() + b"\n"
        with contextlib.suppress(OSError, ValueError):  # it has ended, or its input was closed
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def wait_for(self, condition: Callable[[InputRun], bool], timeout: float = 30.0) -> None:
        end = time.monotonic() + timeout
        while not condition(self):
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s; seen: {self.lines[-5:]}")
            try:
                self._news.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None and not condition(self):
                    self._thread.join(5)
                    if not condition(self):
                        raise AssertionError(f"the input has ended: {self.lines[-5:]} {self.stderr()}") from None

    def finish(self, timeout: float = 60.0) -> InputRun:
        """Wait for the end by itself."""
        self.process.wait(timeout)
        self._thread.join(10)
        return self

    def stop(self) -> InputRun:
        """End it as the host does: SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.finish(20)

    def kill(self) -> InputRun:
        self.process.kill()
        return self.finish(20)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


def plan(role: str, config: Mapping[str, Any], task: str = "t", **more: Any) -> list[Json]:
    """The answer of a derivation."""
    process = spawn(
        role,
        {
            "command": "plan",
            "protocol": 2,
            "role": {"in": "input", "out": "output"}[role],
            "task": task,
            "config": config,
            **more,
        },
    )
    answer, _ = process.communicate(timeout=30)
    return [json.loads(line) for line in answer.splitlines()]


class ResourceRun:
    """A resource session."""

    def __init__(self, config: Mapping[str, Any], role: str = "resource") -> None:
        self.process = spawn(role, {"command": "serve", "protocol": 2, "role": "resource", "config": dict(config)})
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
        while True:
            answer: Json = json.loads(self.process.stdout.readline())
            if answer["status"] != "progress":
                return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


class OutputRun:
    """A running output."""

    def __init__(
        self, config: Mapping[str, Any], *, task: str = "t", acks: bool = True, streams: Any = (), **environment: str
    ) -> None:
        opening = {
            "command": "run",
            "protocol": 2,
            "role": "output",
            "task": task,
            "config": dict(config),
            "acks": acks,
            "streams": list(streams),
        }
        self.process = spawn("out", opening, **environment)
        assert self.process.stdout is not None
        self.ready: Json = json.loads(self.process.stdout.readline() or b"{}")
        self.rejects: list[Json] = []
        self._number = 0

    def write(self, *envelopes: Json | bytes) -> None:
        assert self.process.stdin is not None
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in envelopes]
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))
        self.process.stdin.flush()

    def checkpoint(self, position: Json) -> None:
        """Write a checkpoint and wait for its echo."""
        assert self.process.stdout is not None
        self._number += 1
        self.write(b'{"checkpoint":' + json.dumps(position).encode() + b',"n":%d}' % self._number)
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the output has ended: {self.stderr()}")
            value = json.loads(line)
            if "reject" in value:
                self.rejects.append(value["reject"])
            elif value.get("n") == self._number:
                return

    def end(self) -> None:
        self.write(b'{"end":true}')
        self.process.communicate(timeout=30)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@dataclass
class Flow:
    """Input and output joined as the host joins them: forward whole lines, store what was acknowledged, then
    commit it to the input. Survives in `checkpoint` what a host would have stored."""

    input_config: Json
    output_config: Json
    checkpoint: Json | None = None
    sessions: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def session(
        self,
        *,
        until: str | None = "current",
        kill: Callable[[subprocess.Popen[bytes], subprocess.Popen[bytes]], None] | None = None,
        input_fault: str = "",
        output_fault: str = "",
    ) -> bool:
        """One session; True if the input ended as it should. `kill` runs beside it, to end one of the two."""
        self.sessions += 1
        run: Json = {"command": "run", "protocol": 2, "task": "t", "acks": True}
        output = spawn("out", {**run, "role": "output", "config": self.output_config}, **_fault(output_fault))
        assert output.stdin is not None
        assert output.stdout is not None
        ready = json.loads(output.stdout.readline() or b"{}")
        if ready.get("status") != "ready":
            raise AssertionError(f"the output refused: {ready} {output.stderr.read() if output.stderr else b''!r}")
        opening: Json = {
            **run,
            "role": "input",
            "config": self.input_config,
            "checkpoint": ready["checkpoint"],
        }
        if until:
            opening["until"] = until
        source = spawn("in", opening, **_fault(input_fault))
        back = threading.Thread(target=self._acknowledge, args=(output, source), daemon=True)
        back.start()
        drains = [threading.Thread(target=_drain, args=(one,), daemon=True) for one in (source, output)]
        for drain in drains:
            drain.start()
        killer = threading.Thread(target=kill, args=(source, output), daemon=True) if kill else None
        if killer:
            killer.start()
        ended = self._forward(source, output)
        with contextlib.suppress(OSError):
            output.stdin.close()
        source.wait(30)
        output.wait(30)
        back.join(10)
        if killer:
            killer.join(30)
        return ended

    def _forward(self, source: subprocess.Popen[bytes], output: subprocess.Popen[bytes]) -> bool:
        assert source.stdout is not None
        assert output.stdin is not None
        ended = False
        first = True
        for line in source.stdout:
            if not line.endswith(b"\n"):
                break
            if first:
                first = False
                if b'"ready"' not in line:
                    raise AssertionError(f"the input refused: {line!r}")
                continue
            ended = line.startswith(b'{"end":')
            try:
                output.stdin.write(line)
                output.stdin.flush()
            except OSError:
                source.kill()
                return False
        return ended

    def _acknowledge(self, output: subprocess.Popen[bytes], source: subprocess.Popen[bytes]) -> None:
        assert output.stdout is not None
        assert source.stdin is not None
        for line in output.stdout:
            if line.startswith(b'{"checkpoint":') and line.endswith(b"\n"):
                value = json.loads(line)
                self.checkpoint = value["checkpoint"]
                committed = {"n": value["n"], "checkpoint": self.checkpoint}
                try:
                    source.stdin.write(json.dumps({"committed": committed}).encode() + b"\n")
                    source.stdin.flush()
                except OSError:
                    continue


def _fault(name: str) -> dict[str, str]:
    return {"DSTREAM_FAULT": name} if name else {}


def _drain(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    process.stderr.read()
