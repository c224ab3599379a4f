"""What a transcript needs to be run by the host: a scripted provider at one end, and an ear for what it says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstream.diagnostics import Diagnostic
from dstream.plugins import Binary, ProviderInfo, ProviderSource
from dstream.run import Endpoint, Flow, RunOutcome, Silent
from dstream.stopping import Stop
from dstream_sdk.testing import Transcript

ROOT = Path(__file__).resolve().parents[2] / "providers/protocol/transcripts"
SCRIPTED = Path(__file__).with_name("scripted_provider.py")
_CONFIRMS = ("checkpoint",)


def endpoint(
    role: str, config: Mapping[str, Any], *argv: str, protocol: Any = 2, abilities: tuple[str, ...] = _CONFIRMS
) -> Endpoint:
    """Return a Python program as one end of a flow."""
    info = ProviderInfo(protocol, role, "1", frozenset({role}), frozenset(abilities), None, {}, "digest")
    return Endpoint(Binary((sys.executable, *argv), ProviderSource("path", argv[0]), role), info, config)


def scripted(transcript: Transcript, role: str, *more: str) -> Endpoint:
    """Return the provider of a transcript as one end of a flow: it confirms if the transcript has it do so."""
    opening = next(step.value for step in transcript.steps if step.what == "host")
    abilities = (*_CONFIRMS, *more) if opening.get("acks") else ()
    path = str(ROOT / f"{transcript.name}.jsonl")
    return endpoint(role, opening["config"], str(SCRIPTED), path, protocol=transcript.protocol, abilities=abilities)


class Heard(Silent):
    """A reporter that keeps what providers log and show, and why they are started again: the second time ends the run.

    With `stops`, it is asked to end as soon as both are ready.
    """

    def __init__(self, stop: Stop, *, stops: bool = False) -> None:
        self.logged: list[str] = []
        self.shown: list[str] = []
        self.failures: list[Diagnostic] = []
        self._stop, self._stops = stop, stops

    def session_started(self, flow: Flow, number: int, checkpoint: Mapping[str, Any] | None) -> None:
        if self._stops:
            self._stop.request()

    def restarting(self, flow: Flow, diagnostics: tuple[Diagnostic, ...], delay: float, attempt: int) -> None:
        if self.failures:
            self._stop.request()
        self.failures += diagnostics

    def log(self, flow: Flow, side: str, line: str) -> None:
        self.logged.append(line)

    def text(self, flow: Flow, line: str) -> None:
        self.shown.append(line)

    def said(self, outcome: RunOutcome) -> str:
        """Return what was wrong; fail if a scripted provider says that the host has departed from its transcript."""
        found = (*self.failures, *outcome.diagnostics)
        text = "\n".join(f"{each.summary}: {each.detail}" for each in found)
        assert "the host was to do" not in "\n".join([text, *self.logged])
        return text
