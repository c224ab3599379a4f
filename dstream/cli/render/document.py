"""Documents: a plan, or a state, as a headline and sections of entries, before it becomes Markdown or HTML.

In a plan, changes that lose data come first. The lines of an entry are rendered on demand, since only some entries of a
large plan are shown in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Struct

from dstream.cli.render.consequences import TITLE, breaking_of, more_lines, sentence
from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import (
    LEFT_OUT,
    change_lines,
    drift_lines,
    left_out_lines,
    output_lines,
    policy_line,
    summary,
)
from dstream.cli.render.task_change import task_lines, task_phrase
from dstream.plan import Action, Change, Plan

PLAIN = Paint(enabled=False)


class Entry(Struct, frozen=True):
    """One object: its action in a few words, and the lines with the details."""

    address: str
    phrase: str
    lines: Callable[[], list[str]]
    alarming: bool = False


class Section(Struct, frozen=True):
    """Entries of one kind; `kind` is the noun for counting those that do not fit."""

    title: str
    kind: str
    entries: tuple[Entry, ...]


class Document(Struct, frozen=True):
    """A headline, notes and sections."""

    headline: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


_RISKS: tuple[tuple[str, str, Callable[[Change], bool]], ...] = (
    ("Destroys data", "that destroy data", lambda change: change.loses_data),
    ("Destroy", "to destroy", lambda change: change.action is Action.DELETE),
    ("Replace", "to replace", lambda change: change.action.replaces),
    ("Update in place", "to update", lambda change: change.action is Action.UPDATE),
    ("Forget", "to forget", lambda change: change.action is Action.FORGET),
    ("Deferred", "deferred", lambda change: change.action is Action.DEFERRED),
    ("Import", "to import", lambda change: change.importing is not None),
    ("Create", "to create", lambda change: change.action is Action.CREATE),
    ("Move", "to move", lambda change: change.moved_from is not None),
)
_PHRASES = {
    Action.NO_OP: "stays as it is",
    Action.CREATE: "is created",
    Action.UPDATE: "is updated in place",
    Action.REPLACE: "is replaced",
    Action.CREATE_THEN_DELETE: "is replaced, created first",
    Action.DELETE: "is destroyed",
    Action.FORGET: "is no longer managed; the object is kept",
    Action.DEFERRED: "is deferred",
}


def plan_document(plan: Plan) -> Document:
    """Return a plan as a document."""
    notes: list[str] = []
    losing = sum(change.loses_data for change in plan.changes)
    if losing:
        notes.append(f"{losing} of these changes destroy{'s' if losing == 1 else ''} data.")
    if plan.pending:
        notes.append(
            f"An apply is in progress or was interrupted: {plan.pending} pending records are assumed complete."
        )
    notes += (f"{d.title}: {d.detail}" if d.detail else d.title for d in plan.diagnostics)
    if plan.policies:
        notes.append(policy_line(plan))
    if plan.left_out is not None:
        notes += (f"{LEFT_OUT}: {line}" for line in left_out_lines(plan.left_out))
    sections = [_breaking(plan), *_changes(plan), *_others(plan)]
    return Document(summary(plan, PLAIN), tuple(notes), tuple(each for each in sections if each.entries))


def _breaking(plan: Plan) -> Section:
    found = [
        Entry(address, sentence(each), partial(lambda one: list(more_lines(one)), each), alarming=True)
        for address, each in breaking_of(plan)
    ]
    return Section(TITLE, "breaking consequences", tuple(found))


def _changes(plan: Plan) -> Iterable[Section]:
    left = [change for change in plan.changes if change.changes_state]
    for title, kind, belongs in _RISKS:
        found = [change for change in left if belongs(change)]
        left = [change for change in left if not belongs(change)]
        yield Section(title, kind, tuple(map(_entry, found)))


def _entry(change: Change) -> Entry:
    phrase = _PHRASES[change.action]
    if change.importing is not None:
        phrase = "is imported" if change.action is Action.NO_OP else f"is imported, and {phrase}"
    elif change.moved_from is not None:
        phrase = f"was {change.moved_from}" + ("" if change.action is Action.NO_OP else f", and {phrase}")
    return Entry(change.shown_address, phrase, partial(_lines, change), alarming=change.action.destroys)


def _lines(change: Change) -> list[str]:
    return [line for line in change_lines(change, PLAIN) if line]


def _others(plan: Plan) -> Iterable[Section]:
    drifts = [
        Entry(drift.address, f"is {drift.kind}", partial(lambda each: list(drift_lines(each, PLAIN)), drift))
        for drift in plan.drifts
    ]
    yield Section("Changed outside of dstream", "changed outside", tuple(drifts))
    tasks = [
        Entry(
            task.address,
            task_phrase(task) if task.moved_from is None else f"was {task.moved_from}, and {task_phrase(task)}",
            partial(lambda each: [line for line in task_lines(each, PLAIN) if line], task),
            alarming=task.action.destroys,
        )
        for task in plan.tasks
        if task.worth_showing
    ]
    yield Section("Tasks", "tasks", tuple(tasks))
    outputs = [
        Entry(output.name, str(output.action), partial(lambda each: list(output_lines(each, PLAIN)), output))
        for output in plan.outputs
        if output.action is not Action.NO_OP
    ]
    yield Section("Outputs", "outputs", tuple(outputs))


def counted(cut: Counter[str]) -> str:
    """Return the number of omitted entries of each kind as a phrase."""
    return ", ".join(f"{number} {kind}" for kind, number in cut.items())
