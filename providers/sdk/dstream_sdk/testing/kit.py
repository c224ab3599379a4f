"""The rules of the protocol, driven against a provider's process: what a provider's own tests call.

The numbers are those of the rules in `providers/protocol/PROTOCOL.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dstream_sdk.testing.forks import check_forks
from dstream_sdk.testing.process import TIMEOUT, ProviderProcess

_SAMPLE: tuple[dict[str, Any], ...] = (
    {"data": {"id": 1}, "metadata": {"TableName": "sample", "OperationType": "Insert", "Key": {"id": 1}}},
    {"data": {"id": 2}, "metadata": {"TableName": "sample", "OperationType": "Insert", "Key": {"id": 2}}},
)


def check_provider(
    argv: Sequence[str],
    *,
    config: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
    envelopes: Sequence[Mapping[str, Any]] = _SAMPLE,
    records: int | None = None,
) -> None:
    """Run a provider through the rules of its data role; Failed says which one it breaks.

    `config` must work. An input is run to the end of what is there (`until: current`); with `records`, it must then
    have emitted as many envelopes. An output is given `envelopes`, and one of an undeclared table.
    """
    kit = _Kit(argv, config, env or {})
    info = kit.probe()
    kit.wrong_config(info)
    if "input" in info["roles"]:
        kit.plans("input", info)
        kit.input(records)
        kit.input_without_acks()
    if "output" in info["roles"]:
        kit.plans("output", info)
        kit.output(envelopes)
        kit.output_without_end(envelopes)
        kit.new_stream(envelopes)


def _are_timeouts(given: Any) -> bool:
    """Return whether each has a name that there is, and is a number of seconds of at most a year."""
    if not isinstance(given, dict) or not set(given) <= {"create", "read", "update", "delete"}:
        return False
    numbers = [each for each in given.values() if isinstance(each, int | float) and not isinstance(each, bool)]
    return len(numbers) == len(given) and all(0 < each <= 365 * 24 * 3600 for each in numbers)


class _Kit:
    def __init__(self, argv: Sequence[str], config: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._argv, self._config, self._env = argv, config, env

    def _start(self, **env: str) -> ProviderProcess:
        return ProviderProcess(self._argv, env={**self._env, **env})

    def _opening(self, command: str, role: str, **more: Any) -> dict[str, Any]:
        return {"command": command, "protocol": 2, "role": role, "task": "kit", "config": dict(self._config), **more}

    def probe(self) -> dict[str, Any]:
        with self._start(DSTREAM_PROBE="1") as provider:
            provider.close()
            info = provider.read()
            if info.get("protocol") != 2 or not info.get("roles") or "config" not in info.get("schema", {}):
                raise provider.failed(f"R1: not an answer to the probe: {info}")
            if provider.rest() or provider.wait() != 0:
                raise provider.failed("R1: the probe's answer is one line and exit code 0")
            return info

    def wrong_config(self, info: Mapping[str, Any]) -> None:
        """A setting that the schema rules out is refused in the handshake."""
        role = next((role for role in ("input", "output") if role in info["roles"]), None)
        if role is None or info["schema"]["config"].get("additionalProperties") is not False:
            return
        with self._start() as provider:
            opening = self._opening("run", role, acks=True)
            opening["config"]["no_such_setting"] = 1
            provider.send(opening)
            answer = provider.read()
            found = answer.get("diagnostics") or [{}]
            if answer.get("status") != "error" or found[0].get("class") != "invalid" or not found[0].get("path"):
                raise provider.failed(f"R8: a wrong setting was answered with {answer}")

    def plans(self, role: str, info: Mapping[str, Any]) -> None:
        first, second = self._plan(role), self._plan(role)
        if first != second:
            raise AssertionError(f"R12: plan said two things for one configuration:\n{first}\n{second}")
        if "plans_many" in info.get("capabilities", ()):
            self._plans_many(role, first)
        if "forks" in info.get("capabilities", ()) and sys.platform == "linux":
            opening = self._opening("plan", role, streams=[{"name": "sample", "key": ["id"]}])
            check_forks(self._argv, self._env, role, opening, first, TIMEOUT)

    def _plans_many(self, role: str, alone: list[dict[str, Any]]) -> None:
        """A process that plans twice returns the same as separate processes."""
        with self._start() as provider:
            provider.send({**self._opening("serve", role), "config": {}})
            self._ready(provider)
            request = self._opening("plan", role, streams=[{"name": "sample", "key": ["id"]}])
            for number in (1, 2):
                provider.send({"id": number, **request})
                lines: list[dict[str, Any]] = []
                while not lines or "status" not in lines[-1]:
                    line = provider.read()
                    if line.pop("id", None) != number:
                        raise provider.failed(f"R17: a line without the id {number}: {line}")
                    lines.append(line)
                if lines != alone:
                    raise provider.failed(f"R17: plan in a session differs from a plan alone: {lines}")
            provider.close()
            if provider.rest() or provider.wait() != 0:
                raise provider.failed("R17: the session ends with its input, and with exit code 0")

    def _plan(self, role: str) -> list[dict[str, Any]]:
        with self._start() as provider:
            provider.send(self._opening("plan", role, streams=[{"name": "sample", "key": ["id"]}]))
            provider.close()
            lines: list[dict[str, Any]] = []
            while not lines or "status" not in lines[-1]:
                lines.append(provider.read())
            if lines[-1]["status"] != "done" or provider.rest() or provider.wait() != 0:
                raise provider.failed(f"R11: plan ended with {lines[-1]}")
            keys = [(each["resource"]["type"], each["resource"]["key"]) for each in lines if "resource" in each]
            if len(keys) != len(set(keys)):
                raise provider.failed(f"R14: a key is given twice: {keys}")
            for each in (line["resource"] for line in lines if "resource" in line):
                if not _are_timeouts(each.get("timeouts") or {}):
                    raise provider.failed(f"R16: not timeouts: {each}")
            return lines

    def _ready(self, provider: ProviderProcess) -> None:
        answer = provider.read()
        if answer.get("status") != "ready" or answer.get("protocol") != 2:
            raise provider.failed(f"R7: expected ready, found {answer}")

    def input(self, records: int | None) -> None:
        with self._start() as provider:
            provider.send(self._opening("run", "input", checkpoint=None, acks=True, until="current"))
            self._ready(provider)
            number = count = 0
            while "end" not in (line := provider.read()):
                if "checkpoint" in line:
                    number += 1
                    if line.get("n") != number:
                        raise provider.failed(f"R21: checkpoint {number} has n {line.get('n')}")
                    provider.send({"committed": {"n": number, "checkpoint": line["checkpoint"]}})
                elif isinstance(line.get("data"), dict):
                    count += 1
                else:
                    raise provider.failed(f"R20: neither data nor control: {line}")
            if provider.rest() or provider.wait() != 0:
                raise provider.failed("R24: end is the last line, and the exit code is 0")
            if records is not None and count != records:
                raise provider.failed(f"R28: {count} records, expected {records}")

    def input_without_acks(self) -> None:
        with self._start() as provider:
            provider.send(self._opening("run", "input", checkpoint=None, acks=False, until="current"))
            self._ready(provider)
            for line in provider.rest():
                if line.startswith((b'{"checkpoint":', b'{"end":')):
                    raise provider.failed(f"R26: a control line without acknowledgements: {line!r}")

    def output(self, envelopes: Sequence[Mapping[str, Any]]) -> None:
        with self._start() as provider:
            provider.send(self._opening("run", "output", streams=[{"name": "sample", "key": ["id"]}], acks=True))
            self._ready(provider)
            position = {"source": "kit", "at": len(envelopes)}
            provider.send(*envelopes, {"checkpoint": position, "n": 1})
            if provider.read() != {"checkpoint": position, "n": 1}:
                raise provider.failed("R32: the checkpoint was not acknowledged")
            provider.send(*envelopes, {"checkpoint": position, "n": 2}, {"end": True})
            if provider.read() != {"checkpoint": position, "n": 2}:
                raise provider.failed("R33: the last checkpoint was not acknowledged")
            if provider.rest() or provider.wait() != 0:
                raise provider.failed("R33: after the end the output exits with 0")

    def output_without_end(self, envelopes: Sequence[Mapping[str, Any]]) -> None:
        with self._start() as provider:
            provider.send(self._opening("run", "output", streams=[{"name": "sample", "key": ["id"]}], acks=True))
            self._ready(provider)
            provider.send(*envelopes)
            provider.send_text(b'{"data":{"id":3},"meta')
            provider.close()
            if rest := provider.rest():
                raise provider.failed(f"R34: something was said about data without an end: {rest[0]!r}")
            provider.wait()

    def new_stream(self, envelopes: Sequence[Mapping[str, Any]]) -> None:
        """An output that asks for the objects of a stream writes nothing after that, and acknowledges nothing of it."""
        with self._start() as provider:
            provider.send(self._opening("run", "output", streams=[{"name": "sample", "key": ["id"]}], acks=True))
            self._ready(provider)
            metadata = {"TableName": "kit_unnamed", "OperationType": "Insert", "Key": {"id": 1}}
            provider.send(*envelopes, {"checkpoint": {"source": "kit", "at": 1}, "n": 1})
            provider.send({"data": {"id": 1}, "metadata": metadata}, {"checkpoint": {"source": "kit", "at": 2}, "n": 2})
            provider.send({"end": True})
            lines = [json.loads(line) for line in provider.rest()]
            requested = next((at for at, line in enumerate(lines) if "stream" in line), None)
            if requested is None:
                return  # it needs no objects, or has another way with them
            stream = lines[requested]["stream"]
            if not isinstance(stream, dict) or stream.get("name") != "kit_unnamed" or "key" not in stream:
                raise provider.failed(f"R38: it asks for the objects of {stream}, where the data was of kit_unnamed")
            if lines[requested + 1 :] or any(line.get("n", 0) > 1 for line in lines):
                raise provider.failed(f"R38: it met a new stream, and yet wrote {lines}")
