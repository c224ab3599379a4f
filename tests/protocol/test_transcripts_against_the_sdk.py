"""Every golden transcript that a well-behaved provider can play, played by providers made with the SDK."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dstream_sdk.testing import Transcript, read_transcript, replay

ROOT = Path(__file__).resolve().parents[2]
TRANSCRIPTS = [read_transcript(path) for path in sorted((ROOT / "providers/protocol/transcripts").glob("*.jsonl"))]
REFERENCE = Path(__file__).with_name("reference.py")


@pytest.mark.parametrize(
    "transcript", [each for each in TRANSCRIPTS if not each.host_only], ids=lambda transcript: transcript.name
)
def test_the_sdk_holds_the_conversation(transcript: Transcript) -> None:
    assert transcript.provider is not None
    replay(transcript, [sys.executable, str(REFERENCE), transcript.provider])


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
def test_the_scripted_provider_plays_the_other_side(transcript: Transcript) -> None:
    # What a host replays: the scripted provider must hold each conversation with a host that keeps to it.
    path = ROOT / "providers/protocol/transcripts" / f"{transcript.name}.jsonl"
    replay(transcript, [sys.executable, str(Path(__file__).with_name("scripted_provider.py")), str(path)])
