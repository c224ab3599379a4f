"""Replays a transcript against a provider: plays the host, and checks every line of the provider."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dstream_sdk.testing.process import TIMEOUT, ProviderProcess
from dstream_sdk.testing.transcript import Step, Transcript, as_line, matches


def replay(transcript: Transcript, argv: Sequence[str], *, timeout: float = TIMEOUT) -> None:
    """Start the provider and hold the conversation; Failed names the step that it departs from."""
    with ProviderProcess(argv, env=transcript.env, timeout=timeout) as provider:
        for number, step in enumerate(transcript.steps, 2):
            _play(provider, step, f"{transcript.name}:{number}")


def _play(provider: ProviderProcess, step: Step, where: str) -> None:
    match step.what:
        case "host":
            provider.send(step.value)
        case "host_text":
            provider.send_text(step.value.encode())
        case "host_closes":
            provider.close()
        case "host_signals":
            provider.signal(step.value)
        case "provider":
            _expect(provider, [step.value], where)
        case "provider_any_order":
            _expect(provider, list(step.value), where)
        case "provider_text":
            line = provider.line()
            if line != step.value.encode():
                raise provider.failed(f"{where}: expected {step.value!r}, found {line!r}")
        case _:
            _end(provider, step, where)


def _expect(provider: ProviderProcess, expected: list[object], where: str) -> None:
    """Read a line for each object; the lines may match the objects in any order."""
    while expected:
        found = provider.read()
        at = next((at for at, each in enumerate(expected) if matches(each, found)), None)
        if at is None:
            listed = " or ".join(json.dumps(each, ensure_ascii=False) for each in expected)
            raise provider.failed(f"{where}: expected {listed}\nfound {as_line(found).decode().strip()}")
        del expected[at]


def _end(provider: ProviderProcess, step: Step, where: str) -> None:
    if rest := provider.rest():
        raise provider.failed(f"{where}: expected the end of the output, found {rest[0]!r}")
    code = provider.wait()
    if step.what == "provider_exits" and (code == 0 if step.value == "failure" else code != step.value):
        raise provider.failed(f"{where}: expected exit code {step.value}, found {code}")
