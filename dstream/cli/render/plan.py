"""A plan as text, in Terraform's format. The same plan always gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dstream.cli.render.attributes import COLOURS, all_attributes, changed_attributes
from dstream.cli.render.consequences import breaking_lines, consequence_lines, consequence_summary
from dstream.cli.render.legend import legend
from dstream.cli.render.paint import Paint
from dstream.cli.render.task_change import task_lines, task_summary
from dstream.cli.render.values import literal_lines
from dstream.lang.confinement import Withheld
from dstream.plan import (
    Action,
    Change,
    Drift,
    DriftKind,
    OutputChange,
    Plan,
    Reason,
)

_PHRASES = {
    Action.CREATE: "will be created",
    Action.UPDATE: "will be updated in place",
    Action.REPLACE: "must be replaced",
    Action.CREATE_THEN_DELETE: "must be replaced, created before it is destroyed",
    Action.DELETE: "will be destroyed",
    Action.FORGET: "will no longer be managed; the object is kept",
    Action.DEFERRED: "is deferred until its values are known: apply again",
}
_REASONS = {
    Reason.MISSING: "it is recorded in the state but no longer exists",
    Reason.TAINTED: "it is tainted",
    Reason.REQUESTED: "as requested by -replace",
    Reason.TRIGGERED: "because of replace_triggered_by",
    Reason.NOT_IN_CONFIGURATION: "it is no longer in the configuration",
    Reason.NOT_WANTED_BY_TASK: "its task no longer requires it",
    Reason.RELEASED: "its task no longer requires it, and no data is lost",
}


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """Yield the lines that show a plan: the legend, drift, changes, tasks, outputs, and the summary."""
    if meanings := legend(plan, paint):
        yield f"Symbols: {meanings}"
        yield ""
    yield from breaking_lines(plan, paint)
    if plan.drifts:
        yield paint("Changed outside of dstream since the last apply:", "bold")
        yield ""
        for drift in plan.drifts:
            yield from drift_lines(drift, paint)
    shown = [change for change in plan.changes if change.changes_state]
    if shown:
        yield paint("dstream will perform the following actions:", "bold")
        yield ""
        for change in shown:
            yield from change_lines(change, paint)
    tasks = [task for task in plan.tasks if task.worth_showing]
    if tasks:
        yield paint("Tasks:", "bold")
        yield ""
        for task in tasks:
            yield from task_lines(task, paint)
    outputs = [output for output in plan.outputs if output.action is not Action.NO_OP]
    if outputs:
        yield paint("Outputs:", "bold")
        for output in outputs:
            yield from output_lines(output, paint)
        yield ""
    if plan.left_out is not None:
        yield paint(f"{LEFT_OUT}:", "bold")
        yield from (f"  {line}" for line in left_out_lines(plan.left_out))
        yield ""
    if plan.policies:
        yield policy_line(plan)
        yield ""
    yield summary(plan, paint)


def policy_line(plan: Plan) -> str:
    """Return how many policies a plan meets, and which it does not."""
    unmet = [f"{each.name} (advisory)" if each.advisory else each.name for each in plan.policies if not each.met]
    met = f"Policies: {len(plan.policies) - len(unmet)} met"
    return f"{met}, {len(unmet)} not met: {', '.join(unmet)}." if unmet else f"{met}."


LEFT_OUT = "Left out, because the configuration is not trusted"
_MOST_LEFT_OUT = 50


def left_out_lines(found: Sequence[Withheld]) -> Iterator[str]:
    """Yield a line for each thing that the plan of a configuration that is not trusted leaves out, up to a limit."""
    for each in found[:_MOST_LEFT_OUT]:
        yield f"{each.kind} {each.name}: {each.reason}" if each.name != each.kind else f"{each.kind}: {each.reason}"
    if not found:
        yield "nothing"
    elif len(found) > _MOST_LEFT_OUT:
        yield f"and {len(found) - _MOST_LEFT_OUT} more (-json lists all)"


def summary(plan: Plan, paint: Paint) -> str:
    """Return the summary line."""
    if plan.refresh_only:
        if not plan.has_changes:
            return paint("No changes.", "bold", "green") + " The real objects match the state."
        changed = sum(drift.kind is DriftKind.CHANGED for drift in plan.drifts)
        missing = sum(drift.kind is DriftKind.MISSING for drift in plan.drifts)
        text = f" record {changed} changed and {missing} missing into the state. No objects change."
        return paint("Plan:", "bold") + text
    if not plan.has_changes:
        if plan.destroy:
            return paint("No objects need to be destroyed.", "bold", "green")
        matches = "The changes outside of dstream require no actions."
        if not plan.has_drift:
            matches = "The real objects match the configuration."
        return paint("No changes.", "bold", "green") + f" {matches}{consequence_summary(plan)}"
    counts = plan.counts
    parts = [f"{counts['add']} to add", f"{counts['change']} to change", f"{counts['destroy']} to destroy"]
    parts += [f"{counts[name]} to {name}" for name in ("move", "import") if counts[name]]
    if counts["forget"]:
        parts.append(f"{counts['forget']} to forget")
    if counts["deferred"]:
        parts.append(f"{counts['deferred']} deferred")
    return paint("Plan:", "bold") + " " + ", ".join(parts) + "." + task_summary(plan) + consequence_summary(plan)


def change_lines(change: Change, paint: Paint) -> Iterator[str]:
    """Yield the lines that show one change, and an empty one."""
    reason = _REASONS.get(change.reason)
    if change.moved_from is not None:
        yield paint(f"  # {change.moved_from} has moved to {change.address}", "bold")
    if change.importing is not None:
        yield paint(f"  # {change.address} will be imported", "bold")
    if change.action is Action.NO_OP:
        yield ""
        return
    yield paint(f"  # {change.shown_address} {object_phrase(change)}", "bold")
    if reason:
        yield paint(f"  # ({reason})", "dim")
    if change.detail:
        yield paint(f"  # ({change.detail})", "dim")
    if change.loses_data:
        yield paint("  # This destroys data.", "bold", "red")
    yield from consequence_lines(change.consequences, paint)
    symbol = change.action.symbol
    mark = paint(symbol, COLOURS[symbol])
    if change.action is Action.DEFERRED:
        yield f"  {mark} {change.type}"
        yield ""
        return
    yield f"{' ' * (3 - len(symbol))}{mark} {change.type} {{"
    yield from _body(change, paint)
    yield "    }"
    yield ""


def object_phrase(change: Change) -> str:
    """Return what happens to an object, in a few words."""
    return "no longer exists; it will be removed from the state" if _forgotten(change) else _PHRASES[change.action]


def _forgotten(change: Change) -> bool:
    return change.action is Action.FORGET and change.reason is Reason.MISSING


def _body(change: Change, paint: Paint) -> Iterator[str]:
    before, after = change.before or {}, change.after or {}
    if change.action is Action.CREATE:
        yield from all_attributes(after, "+", paint)
    elif change.action in (Action.DELETE, Action.FORGET):
        yield from all_attributes(before, "-", paint)
    else:
        yield from changed_attributes(before, after, change.replace_paths, paint)


def drift_lines(drift: Drift, paint: Paint) -> Iterator[str]:
    """Yield the lines that show one object with drift, and an empty one."""
    phrases = {
        DriftKind.CHANGED: "was changed",
        DriftKind.MISSING: "is missing",
        DriftKind.UNREACHABLE: "could not be refreshed",
    }
    yield paint(f"  # {drift.address} {phrases[drift.kind]}", "bold")
    if drift.detail:
        yield paint(f"  # ({drift.detail})", "dim")
    if drift.kind is DriftKind.CHANGED:
        yield f"  {paint('~', 'yellow')} {drift.type} {{"
        yield from changed_attributes(drift.before or {}, drift.after or {}, (), paint)
        yield "    }"
    elif drift.kind is DriftKind.MISSING:
        yield f"  {paint('-', 'red')} {drift.type}"
    yield ""


def output_lines(output: OutputChange, paint: Paint) -> Iterator[str]:
    """Yield the lines that show a change of an output."""
    symbol = output.action.symbol
    mark = paint(symbol, COLOURS[symbol])
    if output.sensitive:
        yield f"  {mark} {output.name} = (sensitive value)"
        return
    first, *rest = literal_lines(output.before if output.action is Action.DELETE else output.after, "    ")
    yield f"  {mark} {output.name} = {first}"
    yield from rest
