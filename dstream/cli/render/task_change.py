"""The change of a task as text."""

from __future__ import annotations

from collections.abc import Iterator

from dstream.cli.render.attributes import COLOURS, all_attributes, changed_attributes
from dstream.cli.render.consequences import consequence_lines
from dstream.cli.render.paint import Paint
from dstream.plan import Action, Plan, TaskChange
from dstream.plan.task_change import task_counts

_SHOWN = 5
"""The number of streams up to which their names are shown."""


def task_phrase(task: TaskChange) -> str:
    """Return what happens to a task, in a few words."""
    match task.action:
        case Action.CREATE:
            return "will be created"
        case Action.UPDATE:
            return "will be changed"
        case Action.REPLACE:
            return "must be replaced: its input is another provider"
        case Action.DELETE:
            return "will be removed; its checkpoint is archived"
        case _:
            return "is unchanged" if task.moved_from is None else "keeps its checkpoint"


def task_lines(task: TaskChange, paint: Paint) -> Iterator[str]:
    """Yield the lines that show the change of a task, and an empty one."""
    if task.moved_from is not None:
        yield paint(f"  # {task.moved_from} has moved to {task.address}", "bold")
    if task.action is not Action.NO_OP or task.moved_from is None:
        yield paint(f"  # {task.address} {task_phrase(task)}", "bold")
    if task.action is Action.REPLACE:
        yield paint(f"  # (it starts over: its checkpoint is that of {_input(task)})", "bold", "red")
    if task.action is Action.UPDATE and task.before is None:
        yield paint("  # (the state was written by an earlier version, which did not keep the settings)", "dim")
    for line in _streams(task):
        yield paint(f"  # {line}", "dim")
    for note in task.notes:
        yield paint(f"  # {note}", "dim")
    yield from consequence_lines(task.consequences, paint)
    if task.unassessed:
        yield paint(f"  # What happens to the data is not checked ({task.unassessed})", "dim")
    yield from _body(task, paint)
    yield ""


def _input(task: TaskChange) -> str:
    side = (task.before or {}).get("input", {})
    return str(side.get("name", side.get("provider")))


def _streams(task: TaskChange) -> Iterator[str]:
    if task.streams and task.action is not Action.DELETE:
        yield f"{_count(task.streams)}: {_names(task.streams)}"
    if task.new_streams:
        yield f"{_count(task.new_streams)} new since the last apply: {_names(task.new_streams)}"
    if task.lost_streams:
        yield f"{_count(task.lost_streams)} no longer delivered: {_names(task.lost_streams)}"


def _count(names: tuple[str, ...]) -> str:
    return "1 stream" if len(names) == 1 else f"{len(names)} streams"


def _names(names: tuple[str, ...]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _body(task: TaskChange, paint: Paint) -> Iterator[str]:
    symbol = task.action.symbol
    if task.action is Action.NO_OP:
        return
    if task.before is None and task.after is None:
        yield f"  {paint(symbol, COLOURS[symbol])} task"
        return
    yield f"{' ' * (3 - len(symbol))}{paint(symbol, COLOURS[symbol])} task {{"
    if task.action is Action.CREATE or task.before is None:
        yield from all_attributes(task.after or {}, "+", paint)
    elif task.action is Action.DELETE:
        yield from all_attributes(task.before, "-", paint)
    else:
        yield from changed_attributes(task.before, task.after or {}, (), paint)
    yield "    }"


_DONE = {"add": "added", "change": "changed", "replace": "replaced", "move": "moved", "remove": "removed"}


def applied_task_summary(plan: Plan) -> str:
    """Return the sentence that counts the tasks of an apply without failures; empty if no task was changed."""
    parts = [f"{count} {_DONE[name]}" for name, count in task_counts(plan.tasks).items() if count]
    return f" Tasks: {', '.join(parts)}." if parts else ""


def task_summary(plan: Plan) -> str:
    """Return the sentence that counts the tasks to add, change, replace, move and remove; empty if there are none."""
    parts = [f"{count} to {name}" for name, count in task_counts(plan.tasks).items() if count]
    return f" Tasks: {', '.join(parts)}." if parts else ""
