"""The cases of the conformance tests: texts beside this file, each with what it must give.

A case starts with a line `>>> TEXT`, goes on over further lines, and ends with `=== VALUE` (JSON, or `valid` for a
body) or `!!! LINE:COLUMN`, the place of its first error. Lines with # before the first case are comments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One text and what it must give."""

    name: str
    text: str
    value: str | None
    place: str | None


def cases(*patterns: str) -> list[Case]:
    """Return the cases in the files that match the patterns."""
    return [case for pattern in patterns for path in sorted(HERE.glob(pattern)) for case in _read(path)]


def _read(path: Path) -> list[Case]:
    found: list[Case] = []
    lines: list[str] | None = None
    start = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith(">>> "):
            lines, start = [line[4:]], number
        elif lines is not None and line.startswith(("=== ", "!!! ")):
            text = "\n".join(lines)
            if text.startswith("json "):
                text = json.loads(text[5:])
            result = line[4:]
            name = f"{path.stem}:{start}"
            found.append(Case(name, text, *((result, None) if line.startswith("===") else (None, result))))
            lines = None
        elif lines is not None:
            lines.append(line)
    return found
