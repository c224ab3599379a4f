"""Details of runs, as shown by `status -detailed`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstream.engine.runs.run_files import RunStatus


_UNDERWAY = ("starting", "running", "restarting", "waiting", "stopping")


def note_lines(note: RunStatus, *, running: bool) -> list[str]:
    """Return the lines about a run: state, uptime, restarts, records, rate, checkpoint, last error, providers."""
    now = time.time()
    state = note.state if running or note.state not in _UNDERWAY else "was killed"
    began = f"{'up' if running else 'started'} {span(now - note.started_at)}{'' if running else ' ago'}"
    rate = f", {note.records_per_second:.0f} records/s" if running else ""
    lines = [
        f"{state}, {began}, {note.restarts} restart{'s' if note.restarts != 1 else ''}",
        f"{note.records} records ({note.bytes} B){rate}",
    ]
    if note.checkpoint_at is not None:
        lines.append(f"last checkpoint {span(now - note.checkpoint_at)} ago")
    if note.last_error:
        when = f" ({span(now - note.last_error_at)} ago)" if note.last_error_at is not None else ""
        lines.append(f"last error{when}: {note.last_error}")
    lines += [f"{each['side']} {each['kind']} {each['source']}, {each['digest'][:19]}" for each in note.providers]
    return lines


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: 3d 4h, 5m 10s, 7s."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
