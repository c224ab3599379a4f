"""The live table of flows: one line for each while they run, as wide and as high as the terminal allows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from dstream.cli.render.run_details import span
from dstream.cli.render.sizes import size
from dstream.cli.render.width import cells

_MOST_ROWS = 10
_TITLES = ("TASK", "STATE", "RECORDS", "RECORDS/S", "BYTES/S", "CHECKPOINT")
_LEAST_IMPORTANT = (4, 5, 3)
"""Columns that a narrow terminal leaves out, in this order."""
_NARROWEST_NAME = 12


class FlowRow(Struct):
    """How one flow is doing; `stored_at` is in seconds since 1970."""

    name: str
    state: str = "starting"
    records: int = 0
    bytes: int = 0
    records_per_second: float = 0.0
    bytes_per_second: float | None = None
    """None where it is not known."""
    dead_letters: int = 0
    restarts: int = 0
    stored_at: float | None = None


def table_lines(rows: Sequence[FlowRow], columns: int, height: int, *, now: float | None = None) -> list[str]:
    """Return the lines about flows: one for a single flow, otherwise a table of at most `height` lines.

    Where not all flows fit, those that do not run come first, and the last line counts the others.
    """
    now = time.time() if now is None else now
    if not rows:
        return []
    if len(rows) == 1:
        return [_sentence(rows[0], now)]
    room = max(1, min(_MOST_ROWS, height - 2))
    shown, rest = list(rows), []
    if len(rows) > room:
        ordered = sorted(rows, key=lambda row: row.state == "running")  # stable: otherwise in their order
        shown, rest = ordered[:room], ordered[room:]
    table = [_TITLES, *(_cells(row, now) for row in shown)]
    lines = _aligned(table, columns)
    if rest:
        states = ", ".join(f"{count} {state}" for state, count in Counter(row.state for row in rest).most_common())
        lines.append(f"and {len(rest)} more: {states}")
    return lines


def _sentence(row: FlowRow, now: float) -> str:
    parts = [f"{row.records:,} records", size(row.bytes), f"{row.records_per_second:,.0f} records/s"]
    if row.bytes_per_second is not None:
        parts.append(f"{size(row.bytes_per_second)}/s")
    if row.state != "running":
        parts.insert(0, row.state)
    if row.dead_letters:
        parts.append(f"{row.dead_letters:,} dead letters")
    if row.stored_at is not None:
        parts.append(f"checkpoint {span(now - row.stored_at)} ago")
    return f"{row.name}: {', '.join(parts)}"


def _cells(row: FlowRow, now: float) -> tuple[str, ...]:
    notes = [f"{row.restarts} restarts"] if row.restarts else []
    notes += [f"{row.dead_letters} dead letters"] if row.dead_letters else []
    return (
        row.name,
        row.state + (f" ({', '.join(notes)})" if notes else ""),
        f"{row.records:,}",
        f"{row.records_per_second:,.0f}",
        "" if row.bytes_per_second is None else size(row.bytes_per_second),
        "" if row.stored_at is None else f"{span(now - row.stored_at)} ago",
    )


def _aligned(table: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Return a table as lines that fit: first a long name is cut, then columns are left out."""
    kept = list(range(len(_TITLES)))
    widths = [max(cells(row[at]) for row in table) for at in kept]
    for dropped in (None, *_LEAST_IMPORTANT):
        if dropped is not None:
            kept.remove(dropped)
        others = sum(widths[at] + 2 for at in kept if at)
        if _NARROWEST_NAME + others <= columns:
            break
    widths[0] = min(widths[0], max(_NARROWEST_NAME, columns - others))
    return ["  ".join(_cell(row[at], widths[at], right=at >= 2) for at in kept).rstrip() for row in table]


def _cell(text: str, width: int, *, right: bool) -> str:
    if cells(text) > width:
        while text and cells(text) >= width:
            text = text[:-1]
        text += "…"
    space = " " * (width - cells(text))
    return space + text if right else text + space
