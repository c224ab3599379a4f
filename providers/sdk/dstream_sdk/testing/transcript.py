"""Golden transcripts: conversations between host and provider, as files of JSON Lines.

The format is described at the top of `providers/protocol/PROTOCOL.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = frozenset(
    {
        "host",
        "host_text",
        "host_closes",
        "host_signals",
        "provider",
        "provider_text",
        "provider_any_order",
        "provider_exits",
        "provider_dies",
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what happens (a name in STEPS), and with what."""

    what: str
    value: Any


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation, with what its first line says about it."""

    name: str
    says: str
    protocol: int
    role: str
    rules: tuple[str, ...]
    provider: str | None
    env: Mapping[str, str]
    host_only: bool
    steps: tuple[Step, ...]


def read_transcript(path: Path) -> Transcript:
    """Return the transcript in a file. ValueError names the line that is not a step."""
    head, *rest = path.read_text("utf-8").splitlines()
    about = json.loads(head)
    steps = []
    for number, text in enumerate(rest, 2):
        step = json.loads(text)
        if len(step) != 1 or not STEPS.issuperset(step):
            raise ValueError(f"{path.name}:{number}: not a step: {text}")
        steps.append(Step(*next(iter(step.items()))))
    return Transcript(
        name=about["transcript"],
        says=about["says"],
        protocol=about["protocol"],
        role=about["role"],
        rules=tuple(about["rules"]),
        provider=about.get("provider"),
        env=about.get("env", {}),
        host_only=about.get("replay") == "host",
        steps=tuple(steps),
    )


def matches(expected: Any, found: Any) -> bool:
    """Return whether `found` has every member that is written down, with the same value.

    Objects may have further members, and null is the same as no member; lists may not have further items;
    `{"$any": true}` stands for any value.
    """
    if isinstance(expected, dict):
        if expected == {"$any": True}:
            return True
        return isinstance(found, dict) and all(matches(value, found.get(name)) for name, value in expected.items())
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(matches(*pair) for pair in zip(expected, found, strict=True))
        )
    return type(expected) is type(found) and bool(expected == found)


def as_line(value: Any) -> bytes:
    """Return an object as the line that travels."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
