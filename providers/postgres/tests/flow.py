"""An input and an output joined by hand as the host joins them, with faults and kills between."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.postgres.tests.harness import Json, program


@dataclass
class Flow:
    """Input and output joined as the host joins them: forward whole lines, store what was acknowledged, then
    commit it to the input. Survives in `checkpoint` what a host would have stored."""

    input_config: Json
    output_config: Json
    checkpoint: Json | None = None
    sessions: int = 0
    task: str = "t"
    records: int = 0
    """Envelopes of the last session."""
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
        self.records = 0
        run: Json = {"command": "run", "protocol": 2, "task": self.task, "acks": True}
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
            self.records += line.startswith(b'{"data":')
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


def spawn(role: str, opening: Mapping[str, Any], **environment: str) -> subprocess.Popen[bytes]:
    """Start a provider and write its opening line; its pipes are moved by `Flow` itself."""
    process = subprocess.Popen(
        program(role),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(opening).encode() + b"\n")
    process.stdin.flush()
    return process


def _fault(name: str) -> dict[str, str]:
    return {"DSTREAM_FAULT": name} if name else {}


def _drain(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    process.stderr.read()
