"""Golden transcripts of outputs that run, with the host on its own side: a real session, store and all.

The output is `scripted_provider.py`, which holds the host to the transcript; the input is a script that says what the
transcript has the host pass on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dstream.diagnostics import DiagnosticsError, error
from dstream.plugins import Binary, ProviderInfo, ProviderSource
from dstream.run import Endpoint, Flow, RunOptions, RunOutcome, Silent, run_flow
from dstream_sdk.testing import Transcript, read_transcript
from dstream_state import open_backend

ROOT = Path(__file__).resolve().parents[2] / "providers/protocol/transcripts"
SCRIPTED = Path(__file__).with_name("scripted_provider.py")
INPUT = """
import sys
sys.stdin.readline()
print('{"status":"ready","protocol":2}', flush=True)
sys.stdout.write(open(sys.argv[1]).read())
sys.stdout.flush()
if len(sys.argv) < 3: sys.stdin.read()
"""


def endpoint(role: str, *argv: str) -> Endpoint:
    info = ProviderInfo(2, role, "1", frozenset({role}), frozenset({"checkpoint"}), None, {}, "digest")
    return Endpoint(Binary((sys.executable, *argv), ProviderSource("path", argv[0]), role), info, {})


class Run:
    """A transcript, run by the host."""

    def __init__(self, name: str, folder: Path) -> None:
        transcript: Transcript = read_transcript(ROOT / f"{name}.jsonl")
        opening, *passed = [step.value for step in transcript.steps if step.what == "host"]
        script, lines = folder / "input.py", folder / "lines.jsonl"
        script.write_text(INPUT)
        lines.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in passed))
        ends = ["ends"] if passed and "end" in passed[-1] else []
        source = endpoint("input", str(script), str(lines), *ends)
        sink = endpoint("output", str(SCRIPTED), str(ROOT / f"{name}.jsonl"))
        self.asked: list[Mapping[str, Any]] = []
        self.store = open_backend("memory", {}, root=folder).task("copy")
        flow = Flow("copy", opening["task"], source, sink, tuple(opening.get("streams") or ()))
        options = RunOptions(first_delay=0.01, store_interval=0.0, attempts=1)
        self.outcome: RunOutcome = run_flow(flow, self.store, options, Silent(), provide=self._provide)
        self.said = "\n".join(f"{each.summary}: {each.detail}" for each in self.outcome.diagnostics)
        assert "the host was to do" not in self.said

    def _provide(self, flow: Flow, streams: Sequence[Mapping[str, Any]]) -> Flow:
        self.asked += streams
        raise DiagnosticsError(error("Enough", "nobody creates anything here"))

    @property
    def position(self) -> Any:
        """The number in the stored checkpoint."""
        stored = self.store.read().checkpoint
        return stored.position["n"] if stored is not None else None


@pytest.mark.parametrize(
    ("name", "position", "letters"),
    [("output-run", 3, 0), ("output-rejects", 1, 1), ("host-output-skips", 2, 0), ("output-knows-new-stream", 2, 0)],
)
def test_what_an_output_acknowledges_is_stored(tmp_path: Path, name: str, position: int, letters: int) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "ended", run.said
    assert (run.position, run.outcome.totals.dead_letters) == (position, letters)


@pytest.mark.parametrize("name", ["host-output-acknowledges-unsent", "host-output-acknowledges-twice"])
def test_an_output_that_breaks_the_rules_is_ended(tmp_path: Path, name: str) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "failed"
    assert "Provider broke the protocol" in run.said


@pytest.mark.parametrize(
    ("name", "position"), [("output-new-stream", 1), ("host-output-new-stream-then-acknowledges", None)]
)
def test_objects_of_a_stream_that_nobody_named_are_asked_for_once(
    tmp_path: Path, name: str, position: int | None
) -> None:
    run = Run(name, tmp_path)
    assert run.asked == [{"name": "returns", "key": ["id"]}]
    assert (run.outcome.sessions, run.position) == (1, position), "what comes after the stream line counts for nothing"


def test_an_output_that_cannot_go_on_is_heard_and_what_it_acknowledged_counts(tmp_path: Path) -> None:
    run = Run("output-cannot-go-on", tmp_path)
    assert (run.outcome.status, run.outcome.sessions, run.position) == ("failed", 1, 1)
    assert "Access denied: it may not be written" in run.said
