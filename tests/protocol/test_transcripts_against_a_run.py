"""Golden transcripts of outputs that run, with the host on its own side: a real session, store and all.

The output is `scripted_provider.py`, which holds the host to the transcript; the input is a script that says what the
transcript has the host pass on. Inputs: `test_input_transcripts_against_a_run.py`.

In two transcripts the host passes on a line that is not whole, which this one never does: `output-half-line` and
`v1-output-last-line`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dstream.diagnostics import DiagnosticsError, error
from dstream.run import Flow, RunOptions, RunOutcome, run_flow
from dstream.stopping import Stop
from dstream_sdk.testing import Transcript, read_transcript
from dstream_state import open_backend
from tests.protocol.running import ROOT, Heard, endpoint, scripted

INPUT = """
import json, sys
opening = json.loads(sys.stdin.readline())
open(sys.argv[1] + ".opening", "w").write(json.dumps(opening))
print('{"status":"ready","protocol":2}', flush=True)
sys.stdout.write(open(sys.argv[1]).read())
sys.stdout.flush()
if len(sys.argv) < 3: sys.stdin.read()
"""


class Run:
    """A transcript, run by the host; `ends`: the input ends after what it says, also without saying so."""

    def __init__(self, name: str, folder: Path, *, ends: bool = False) -> None:
        transcript: Transcript = read_transcript(ROOT / f"{name}.jsonl")
        said = [step.value for step in transcript.steps if step.what in ("host", "host_text")]
        self.opening, *passed = said
        if not self.opening.get("acks"):
            passed = [each for each in passed if "end" not in each]  # which the host writes of itself
        script, self.lines = folder / "input.py", folder / "lines.jsonl"
        script.write_text(INPUT)
        self.lines.write_text("".join(each if isinstance(each, str) else _line(each) for each in passed))
        ending = ["ends"] if ends or (passed and "end" in passed[-1]) else []
        source = endpoint("input", {}, str(script), str(self.lines), *ending)
        ready = next((step.value for step in transcript.steps if step.what == "provider"), {})
        sink = scripted(transcript, "output", *(["stores_checkpoint"] if "checkpoint" in ready else []))
        self.asked: list[Mapping[str, Any]] = []
        self.store = open_backend("memory", {}, root=folder).task("copy")
        flow = Flow("copy", self.opening.get("task", "copy"), source, sink, tuple(self.opening.get("streams") or ()))
        options = RunOptions(first_delay=0.01, store_interval=0.0, attempts=1)
        stop = Stop()
        self.heard = Heard(stop)
        self.outcome: RunOutcome = run_flow(flow, self.store, options, self.heard, stop, provide=self._provide)
        self.said = self.heard.said(self.outcome)

    def _provide(self, flow: Flow, streams: Sequence[Mapping[str, Any]]) -> Flow:
        self.asked += streams
        raise DiagnosticsError(error("Enough", "nobody creates anything here"))

    @property
    def position(self) -> Any:
        """The number in the stored checkpoint."""
        stored = self.store.read().checkpoint
        return stored.position["n"] if stored is not None else None

    @property
    def began_behind(self) -> Any:
        """The checkpoint that the input was told."""
        return json.loads(Path(f"{self.lines}.opening").read_text())["checkpoint"]


def _line(form: Mapping[str, Any]) -> str:
    return json.dumps(form, separators=(",", ":")) + "\n"


@pytest.mark.parametrize(
    ("name", "position", "letters"),
    [
        ("output-run", 3, 0),
        ("output-rejects", 1, 1),
        ("output-acknowledges-while-open", 2, 0),
        ("host-output-skips", 2, 0),
        ("output-knows-new-stream", 2, 0),
    ],
)
def test_what_an_output_acknowledges_is_stored(tmp_path: Path, name: str, position: int, letters: int) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "ended", run.said
    assert (run.position, run.outcome.totals.dead_letters) == (position, letters)


@pytest.mark.parametrize("name", ["host-output-acknowledges-unsent", "host-output-acknowledges-twice"])
def test_an_output_that_breaks_the_rules_is_ended(tmp_path: Path, name: str) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "failed"
    assert "Provider protocol violation" in run.said


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


def test_a_line_that_an_output_cannot_read_is_a_dead_letter(tmp_path: Path) -> None:
    run = Run("output-broken-record", tmp_path)
    assert (run.outcome.status, run.outcome.totals.dead_letters, run.position) == ("ended", 1, 1)


def test_an_output_that_has_not_the_role_is_heard(tmp_path: Path) -> None:
    run = Run("input-refuses-role", tmp_path)
    assert run.outcome.status == "failed"
    assert "No such role" in run.said


def test_data_without_an_end_is_not_stored(tmp_path: Path) -> None:
    run = Run("output-without-end", tmp_path, ends=True)
    assert (run.outcome.ok, run.position) == (False, 1)
    assert "without having written its end line" in run.said


@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [("output-stores-checkpoint", {"source": "reference", "n": 7}), ("output-stores-no-checkpoint-yet", None)],
)
def test_the_checkpoint_that_an_output_keeps_is_where_the_input_begins(
    tmp_path: Path, name: str, checkpoint: Mapping[str, Any] | None
) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "ended", run.said
    assert run.began_behind == checkpoint


@pytest.mark.parametrize(("name", "shown"), [("output-without-acks", 0), ("v1-output-run", 2)])
def test_an_output_that_confirms_nothing_gets_the_data_and_its_end(tmp_path: Path, name: str, shown: int) -> None:
    run = Run(name, tmp_path, ends=True)
    assert run.outcome.status == "ended", run.said
    assert run.position is None
    assert len(run.heard.shown) == shown
