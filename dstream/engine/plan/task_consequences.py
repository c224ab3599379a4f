"""Task consequences: what applying a plan means for the data of a task, from dstream and from the task's providers.

dstream itself reports what follows from its own bookkeeping: the runner, the checkpoint, and the streams. What the
providers report about the same kind takes precedence.
"""

from __future__ import annotations

from collections.abc import Iterator

from dstream.consequences import Consequence, Label, by_weight
from dstream.engine.plan.column_changes import column_consequences
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.task_records import age_of, is_running
from dstream.engine.providers.task_instance import TaskInstance, flow_name
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.plan import Action, TaskChange
from dstream_state import Checkpoint

_HOUR = 3600


def task_consequences(
    context: PlanContext, task: TaskInstance, required: RequiredObjects, change: TaskChange
) -> tuple[Consequence, ...]:
    """Return the consequences of the change of a task, breaking ones first."""
    reported = required.consequences
    own = [] if context.saved is not None else list(_own(context, task, change))
    prior = context.prior.tasks.get(context.prefetch.task_records.origin(task))
    if prior is not None:
        reported = (*reported, *column_consequences(task, prior, required.columns))
    kinds = {each.kind for each in reported}
    if "reread" in kinds:  # It does not continue.
        kinds |= {"resume", "duplicate"}
    return by_weight([*reported, *(each for each in own if each.kind not in kinds)])


def removed_consequences(address: str) -> tuple[Consequence, ...]:
    """Return the consequences of the removal of a task."""
    name = address.removeprefix("task.")
    detail = f"Its checkpoint is archived: a task {name} that is created later starts from the beginning."
    return (Consequence("resume", Label.FORWARD_ONLY, "no more data is delivered", detail),)


def unassessed(context: PlanContext, task: TaskInstance) -> str:
    """Return why the providers of a task were not asked about the data; empty if they were, or cannot tell."""
    records = context.prefetch.task_records
    return records.unassessed if any(map(records.assessable, task.sides)) else ""


def _own(context: PlanContext, task: TaskInstance, change: TaskChange) -> Iterator[Consequence]:
    if change.action is Action.CREATE or change.applied:
        return
    yield from _streams(change)
    for output in task.outputs:
        flow = flow_name(task.address, output.label)
        view = context.prefetch.task_records.view(task, flow)
        of_flow = "" if output.label is None else f" ({flow})"
        if is_running(view) and view.holder is not None and change.action is not Action.NO_OP:
            yield Consequence(
                "restart",
                Label.NON_BREAKING,
                f"the running task keeps its present settings until it is restarted{of_flow}",
                f"It runs as process {view.holder.pid} on {view.holder.host}.",
                fix=f"dstream stop {flow}, then dstream run {flow}",
            )
        if view.checkpoint is None:
            continue
        if change.action is Action.REPLACE:
            yield _starts_over(of_flow)
            continue
        yield _resumes(view.checkpoint, change, of_flow)
        if "stores_checkpoint" not in context.pool.installed(output.spec).info.capabilities:
            yield Consequence(
                "duplicate",
                Label.NON_BREAKING,
                f"what was delivered after the last stored checkpoint is delivered again{of_flow}",
                "The output does not store the checkpoint with the data: delivery is at least once.",
            )


def _streams(change: TaskChange) -> Iterator[Consequence]:
    for name in change.new_streams:
        yield Consequence("streams", Label.NON_BREAKING, f"{name} is delivered from the next run on", stream=name)
    for name in change.lost_streams:
        detail = "What was delivered of it stays in the sink."
        yield Consequence("streams", Label.FORWARD_ONLY, f"{name} is no longer delivered", detail, stream=name)


def _starts_over(of_flow: str) -> Consequence:
    detail = "The input is another provider, which cannot use the checkpoint. The sink gets again what it already has."
    return Consequence(
        "reread", Label.BREAKING, f"the task starts over from the beginning of its source{of_flow}", detail
    )


def _resumes(checkpoint: Checkpoint, change: TaskChange, of_flow: str) -> Consequence:
    age = age_of(checkpoint.at)
    moved = f" of {change.moved_from}" if change.moved_from is not None else ""
    numbers = {} if age is None else {"hours": round(age / _HOUR, 2)}
    summary = f"the task continues from the checkpoint{moved}{of_flow}"
    return Consequence("resume", Label.NON_BREAKING, summary, numbers=numbers)
