"""Concise plans: one line for each object, task and output."""

from __future__ import annotations

from collections.abc import Iterator

from dstream.cli.render.attributes import COLOURS
from dstream.cli.render.consequences import breaking_of, sentence
from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import LEFT_OUT, left_out_lines, object_phrase, policy_line, summary
from dstream.cli.render.task_change import task_phrase
from dstream.plan import Action, Plan


def concise_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """Yield one line for each breaking consequence, each object that changes or has changed, each task and each output,
    and the summary."""
    rows = [*_breaking(plan, paint), *_changes(plan, paint), *_others(plan, paint)]
    if rows:
        yield from rows
        yield ""
    if plan.policies:
        yield policy_line(plan)
    yield summary(plan, paint)


def _breaking(plan: Plan, paint: Paint) -> Iterator[str]:
    for address, each in breaking_of(plan):
        yield f"  {paint('!', 'bold', 'red')} {address}: {sentence(each)}"


def _changes(plan: Plan, paint: Paint) -> Iterator[str]:
    for change in plan.changes:
        if change.changes_state:
            phrases = [] if change.action is Action.NO_OP else [object_phrase(change)]
            if change.moved_from is not None:
                phrases.insert(0, f"has moved from {change.moved_from}")
            if change.importing is not None:
                phrases.insert(0, "will be imported")
            loss = paint(" This destroys data.", "bold", "red") if change.loses_data else ""
            yield f"{_mark(change.action, paint)} {change.shown_address}: {', '.join(phrases)}{loss and '.'}{loss}"
    for drift in plan.drifts:
        yield f"  {paint('~', 'yellow')} {drift.address}: {drift.kind} outside of dstream"


def _others(plan: Plan, paint: Paint) -> Iterator[str]:
    for task in plan.tasks:
        if task.worth_showing:
            moved = f"has moved from {task.moved_from}, and " if task.moved_from is not None else ""
            yield f"{_mark(task.action, paint)} {task.address}: {moved}{task_phrase(task)}"
    for output in plan.outputs:
        if output.action is not Action.NO_OP:
            yield f"{_mark(output.action, paint)} output {output.name}"
    if plan.left_out is not None:
        yield f"{LEFT_OUT}:"
        yield from (f"  {line}" for line in left_out_lines(plan.left_out))


def _mark(action: Action, paint: Paint) -> str:
    symbol = action.symbol
    return " " * (3 - len(symbol)) + (paint(symbol, COLOURS[symbol]) if symbol in COLOURS else symbol)
