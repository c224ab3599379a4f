"""The recorded facts of OpenTofu, one expression with its fact on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tests.tofu.language.fact import Fact, read

TABLE = Path(__file__).parent / "facts.jsonl"


def write(facts: Iterable[tuple[str, Fact]]) -> None:
    """Write the table."""
    lines = (f"[{json.dumps(expression, ensure_ascii=False)},{fact.text()}]\n" for expression, fact in facts)
    TABLE.write_text("".join(lines), encoding="utf-8")


def recorded() -> list[tuple[str, Fact]]:
    """Return the expressions of the table with their facts."""
    found = []
    for line in TABLE.read_text("utf-8").split("\n")[:-1]:
        expression, end = json.JSONDecoder().raw_decode(line, 1)
        found.append((expression, read(line[end + 1 : -1])))
    return found
