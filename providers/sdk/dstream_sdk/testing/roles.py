"""A provider in one of its roles, driven by a test as the host drives it.

    def test_it_reads_everything():
        run = RunningInput(["dstream-in-orders"], {"path": "orders.csv"}).finish()
        assert run.ended and len(run.envelopes) == 3

A checkpoint that an input writes is committed at once, unless `commit` is off.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from dstream_sdk.testing.process import TIMEOUT, ProviderProcess

Json = dict[str, Any]


class RunningInput:
    """A running input: its lines as they come."""

    def __init__(
        self,
        argv: Sequence[str],
        config: Mapping[str, Any],
        checkpoint: Json | None = None,
        *,
        task: str = "t",
        until: str | None = "current",
        max_records: int | None = None,
        acks: bool = True,
        commit: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = 2 * TIMEOUT,
    ) -> None:
        """Start it, and have its lines read; without `until` it runs until it is stopped."""
        opening = _opening("run", "input", config, task=task, checkpoint=checkpoint, acks=acks)
        opening |= {"until": until} if until else {}
        opening |= {"max_records": max_records} if max_records is not None else {}
        self.process = ProviderProcess(argv, env=env, timeout=timeout)
        self.checkpoint = checkpoint
        """The last one that it wrote, at first the one that it was given."""
        self.commit = commit
        self.lines: list[bytes] = []
        self.envelopes: list[Json] = []
        self.covered = 0
        """The number of envelopes before the last checkpoint."""
        self.status: Json = {}
        """Its answer to the opening line, or the error with which it ended."""
        self.ended = False
        """It has said that this is all."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.process.send(opening)
        self._reader.start()

    def committed(self, number: int, checkpoint: Json) -> None:
        """Acknowledge everything up to a checkpoint as stored."""
        self.process.send({"committed": {"n": number, "checkpoint": checkpoint}})

    def wait_for(self, condition: Callable[[Self], bool], timeout: float | None = None) -> None:
        """Wait until something holds; Failed if the input ends or the time is over before it does."""
        timeout = timeout or self.process.timeout
        deadline = time.monotonic() + timeout
        while not condition(self):
            if not self._reader.is_alive():
                self.process.wait()
                if condition(self):
                    return
                raise self.process.failed(f"the input has ended; its last lines: {self.lines[-5:]}")
            if time.monotonic() > deadline:
                raise self.process.failed(f"not within {timeout:.0f} s; the last lines: {self.lines[-5:]}")
            time.sleep(0.01)

    def finish(self) -> Self:
        """Wait for its end."""
        self.process.wait()
        self._reader.join(self.process.timeout)
        return self

    def stop(self) -> Self:
        """End it as the host does: SIGTERM."""
        self.process.signal("SIGTERM")
        return self.finish()

    def kill(self) -> Self:
        """End it by SIGKILL."""
        self.process.signal("SIGKILL")
        return self.finish()

    @property
    def said(self) -> str:
        """Its standard error, and the errors that it has reported to the host."""
        return self.process.stderr() + shown(self.status)

    def _read(self) -> None:
        for line in self.process.lines():
            if not line.endswith(b"\n"):
                break  # half a line is dropped, as the host does
            self.lines.append(line)
            value = json.loads(line)
            if "status" in value:
                self.status = value
            elif "checkpoint" in value:
                self.checkpoint = value["checkpoint"]
                self.covered = len(self.envelopes)
                if self.commit:
                    self.committed(value["n"], value["checkpoint"])
            elif "end" in value:
                self.ended = True
            else:
                self.envelopes.append(value)


class RunningOutput:
    """A running output: what it is given is written when a checkpoint is."""

    def __init__(
        self,
        argv: Sequence[str],
        config: Mapping[str, Any],
        *,
        task: str = "t",
        acks: bool = True,
        replay: bool = False,
        streams: Sequence[Json] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = 2 * TIMEOUT,
    ) -> None:
        """Start it, and wait for its first answer."""
        self.process = ProviderProcess(argv, env=env, timeout=timeout)
        opening = _opening("run", "output", config, task=task, acks=acks, streams=list(streams))
        self.process.send(opening | ({"replay": True} if replay else {}))
        self.ready = self.process.read()
        """Its answer to the opening line, which may be an error."""
        self.rejects: list[Json] = []
        self._number = 0

    def write(self, *envelopes: Json | bytes) -> None:
        """Write envelopes, or lines as they are."""
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in envelopes]
        self.process.send_text(b"".join(line + b"\n" for line in lines))

    def checkpoint(self, position: Json) -> None:
        """Write a checkpoint and wait until it is acknowledged. Raises Failed, with the output's error, if it ends
        first."""
        self._number += 1
        self.process.send({"checkpoint": position, "n": self._number})
        while (value := self.process.read()).get("n") != self._number:
            if "reject" in value:
                self.rejects.append(value["reject"])
            elif "status" in value:
                raise self.process.failed(shown(value))

    def end(self) -> int:
        """Say that this is all, and return its exit code."""
        self.process.send({"end": True})
        return self.close()

    def close(self) -> int:
        """Break off as a host that dies does, and return its exit code."""
        self.process.close()
        self.process.rest()
        return self.process.wait()


class ResourceSession:
    """A resource provider that answers requests one by one."""

    def __init__(self, argv: Sequence[str], config: Mapping[str, Any], *, env: Mapping[str, str] | None = None) -> None:
        """Start it; Failed if it does not get ready."""
        self.process = ProviderProcess(argv, env=env, timeout=2 * TIMEOUT)
        self.process.send(_opening("serve", "resource", config))
        if (answer := self.process.read()).get("status") != "ready":
            raise self.process.failed(f"not ready: {answer}")
        self._number = 0

    def ask(self, command: str, kind: str, **members: Any) -> Json:
        """Return the answer to a request about a resource of the type `kind`."""
        self._number += 1
        self.process.send({"id": self._number, "command": command, "type": kind, **members})
        while (answer := self.process.read())["status"] == "progress":
            pass
        return answer

    def close(self) -> None:
        """End the session; Failed if it does not end well."""
        self.process.close()
        self.process.rest()
        if code := self.process.wait():
            raise self.process.failed(f"exit code {code}")


def shown(status: Mapping[str, Any]) -> str:
    """Return the errors of an answer as they are read by people."""
    return "".join(f"error: {each['summary']}\n  {each.get('detail')}\n" for each in status.get("diagnostics") or ())


def derived(argv: Sequence[str], role: str, config: Mapping[str, Any], *, task: str = "t", **more: Any) -> list[Json]:
    """Return the lines that an `input` or `output` writes for the command `plan`."""
    with ProviderProcess(argv) as process:
        process.send(_opening("plan", role, config, task=task, **more))
        process.close()
        return [json.loads(line) for line in process.rest()]


def _opening(command: str, role: str, config: Mapping[str, Any], **more: Any) -> Json:
    return {"command": command, "protocol": 2, "role": role, "config": dict(config), **more}
