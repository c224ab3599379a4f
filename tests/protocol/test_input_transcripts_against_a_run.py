"""Golden transcripts of inputs that run, with the host on its own side: a real session, store and all.

The input is `scripted_provider.py`, which holds the host to the transcript; the output is a script that keeps what it
is given, and acknowledges what the transcript has the host commit, or everything where it has it commit nothing.

Some transcripts show what this host never does: it writes no members (`input-ignores-unknown-members`) and no commands
(`input-refuses-command`) that there are not, opens version 1 in one way only (`v1-input-bare`, `v1-input-bom`), and
asks inputs to stop by a signal alone (`input-stops-when-stdin-closes`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dstream.run import Flow, RunOptions, RunOutcome, run_flow
from dstream.stopping import Stop
from dstream_sdk.testing import Transcript, read_transcript
from dstream_state import Checkpoint, open_backend
from tests.protocol.running import ROOT, Heard, endpoint, scripted

OUTPUT = """
import json, sys
config = json.loads(sys.stdin.readline())["config"]
print('{"status":"ready","protocol":2}', flush=True)
last = None
with open(config["kept"], "a") as kept:
    for line in sys.stdin:
        if line.startswith('{"checkpoint":'):
            last = line
            if config["acknowledged"] is None or json.loads(line)["n"] in config["acknowledged"]:
                print(line, end="", flush=True)
                last = None
        elif line.startswith('{"end":'):
            if last is not None and config["confirms"]:
                print(last, end="", flush=True)
            break
        else:
            kept.write(line)
            kept.flush()
"""


class Run:
    """A transcript, run by the host."""

    def __init__(self, name: str, folder: Path, **options: Any) -> None:
        transcript: Transcript = read_transcript(ROOT / f"{name}.jsonl")
        opening, *rest = [step.value for step in transcript.steps if step.what == "host"]
        committed = [each["committed"]["n"] for each in rest] or None
        confirms = bool(opening.get("acks"))
        script, self.kept = folder / "output.py", folder / "kept.jsonl"
        script.write_text(OUTPUT)
        self.kept.touch()
        config = {"kept": str(self.kept), "acknowledged": committed, "confirms": confirms}
        self.data = [step.value for step in transcript.steps if step.what == "provider" and "data" in step.value]
        self.store = open_backend("memory", {}, root=folder).task("copy")
        if opening.get("checkpoint") is not None:
            with self.store.acquire("run") as lease:
                lease.store(Checkpoint(opening["checkpoint"], "copy", {}))
        stop = Stop()
        stops = any(step.what == "host_signals" for step in transcript.steps)
        self.heard = Heard(stop, stops=stops)
        self.outcome: RunOutcome = run_flow(
            Flow(
                "copy",
                opening.get("task", "copy"),
                scripted(transcript, "input"),
                endpoint("output", config, str(script)),
            ),
            self.store,
            RunOptions(first_delay=0.01, store_interval=0.0, attempts=1, **options),
            self.heard,
            stop,
        )
        self.said = self.heard.said(self.outcome)

    @property
    def delivered(self) -> list[Any]:
        """What the output was given."""
        return [json.loads(line) for line in self.kept.read_text().splitlines()]

    @property
    def position(self) -> Any:
        """The number in the stored checkpoint."""
        stored = self.store.read().checkpoint
        return stored.position["n"] if stored is not None else None


@pytest.mark.parametrize(
    ("name", "options", "position"),
    [
        ("input-run", {}, 2),
        ("input-resumes", {}, 4),
        ("input-max-records", {"max_records": 2}, 2),
        ("input-until-current", {"until_idle": True}, 1),
    ],
)
def test_an_input_that_ends_is_delivered_and_its_last_checkpoint_stored(
    tmp_path: Path, name: str, options: dict[str, Any], position: int
) -> None:
    run = Run(name, tmp_path, **options)
    assert run.outcome.status == "ended", run.said
    assert run.delivered == run.data
    assert run.position == position


def test_an_input_is_asked_to_stop_by_a_signal_and_its_last_checkpoint_stored(tmp_path: Path) -> None:
    run = Run("input-stops-at-sigterm", tmp_path)
    assert (run.outcome.status, run.position) == ("stopped", 1), run.said
    assert run.delivered == run.data


@pytest.mark.parametrize(
    "name",
    [
        "input-without-acks",
        "input-settings-are-lenient",
        "v1-input-run",
        "v1-input-unknown-setting",
        "host-v1-never-ready",
        "host-v1-ready-first",
    ],
)
def test_an_input_that_confirms_nothing_is_delivered_and_nothing_stored(tmp_path: Path, name: str) -> None:
    run = Run(name, tmp_path)
    assert run.outcome.status == "ended", run.said
    assert run.delivered == run.data
    assert run.position is None


@pytest.mark.parametrize(
    ("name", "position", "says"),
    [
        ("input-cannot-go-on-without-acks", None, "Unexpected end of input"),
        ("input-cannot-open", None, "Cannot open: the source is closed"),
        ("input-refuses-settings", None, "config.cuont: no such setting; did you mean count?"),
        ("host-input-half-line", 1, "Unexpected end of input"),
        ("host-dies-before-ready", None, "before it was ready"),
        ("host-garbage-instead-of-ready", None, "Welcome to my provider!"),
        ("host-unknown-status", None, "almost"),
        ("host-v1-error-first", None, "cannot connect"),
    ],
)
def test_an_input_that_fails_is_heard_and_what_was_whole_is_delivered(
    tmp_path: Path, name: str, position: int | None, says: str
) -> None:
    run = Run(name, tmp_path)
    assert not run.outcome.ok
    assert says in run.said
    assert run.delivered == run.data
    assert run.position == position


def test_an_input_whose_failure_may_pass_is_started_again(tmp_path: Path) -> None:
    run = Run("input-cannot-go-on", tmp_path)
    assert (run.outcome.status, run.outcome.sessions) == ("stopped", 2)
    assert "Cannot read: the source is gone" in run.said


def test_every_wrong_setting_is_told_at_once(tmp_path: Path) -> None:
    run = Run("input-refuses-settings", tmp_path)
    assert len(run.outcome.diagnostics) == 3
