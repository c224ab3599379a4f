"""`dstream status -watch`: the live table on a terminal; elsewhere a line for each change of a state."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dstream.cli.render.paint import on_terminal, say
from dstream.cli.render.region import Region, size_of
from dstream.cli.render.run_table import FlowRow, table_lines
from dstream.cli.render.times import local_time

if TYPE_CHECKING:
    from dstream.engine.runs.status import FlowStatus, Status, TaskStatus

INTERVAL = 1.0
"""Seconds between two looks at the state."""


def watch(read: Callable[[], Status], *, wait: Callable[[float], object] = time.sleep) -> None:
    """Show the status until Ctrl-C; `read` returns it as it is now."""
    if on_terminal(sys.stdout):
        _table(read, wait)
    else:
        _changes(read, wait)


def rows_of(found: Status) -> list[FlowRow]:
    """Return a row for each flow; a task whose block was removed has one if it has no flows."""
    return [row for task in found.tasks for row in (*(_row(task, flow) for flow in task.flows), *_without_flows(task))]


def _table(read: Callable[[], Status], wait: Callable[[float], object]) -> None:
    lines: list[str] = ["Reading the state..."]
    region = Region(sys.stdout, lambda: lines)
    try:
        while not region.over:
            found = read()
            columns, height = size_of(sys.stdout)
            head = f"{found.place}, serial {found.serial}" + (f", locked by {found.holder}" if found.holder else "")
            lines = [head, *(table_lines(rows_of(found), columns - 1, height - 1) or ["No tasks."])]
            wait(INTERVAL)
    except KeyboardInterrupt:
        last = lines
        for line in last:
            region.line(line)
    finally:
        region.close()


def _changes(read: Callable[[], Status], wait: Callable[[float], object]) -> None:
    known: dict[str, str] = {}
    try:
        while True:
            for row in rows_of(read()):
                if known.get(row.name) != row.state:
                    known[row.name] = row.state
                    say(f"{local_time(datetime.now(UTC).isoformat(timespec='seconds'))} {row.name}: {row.state}")
            wait(INTERVAL)
    except KeyboardInterrupt:
        return


def _row(task: TaskStatus, flow: FlowStatus) -> FlowRow:
    note, running = flow.note, flow.holder is not None
    state = task.state
    if running:
        state = note.state if note is not None else "running"
    elif note is not None:
        state = (
            "was killed" if note.state in ("starting", "running", "restarting", "waiting", "stopping") else note.state
        )
    if note is None:
        return FlowRow(flow.name, state, dead_letters=flow.dead_letters)
    return FlowRow(
        flow.name,
        state,
        note.records,
        note.bytes,
        note.records_per_second if running else 0.0,
        None,
        flow.dead_letters,
        note.restarts,
        note.checkpoint_at,
    )


def _without_flows(task: TaskStatus) -> list[FlowRow]:
    return [] if task.flows else [FlowRow(task.address.removeprefix("task."), task.state)]
