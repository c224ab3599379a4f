"""Task notes: whether a task is applied as configured, and how its source is read."""

from __future__ import annotations

from dstream.engine.plan.context import PlanContext
from dstream.engine.providers.task_instance import TaskInstance
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.plan import TaskNote


def task_note(context: PlanContext, task: TaskInstance, required: RequiredObjects) -> TaskNote:
    """Return the note of a plan about a task, besides its objects."""
    address = str(task.address)
    notes = []
    if len(task.outputs) > 1:
        notes.append(f"the source is read {len(task.outputs)} times, once for each output")
    versions = [context.pool.installed(side.spec).info.protocol for side in task.sides]
    if min(versions) < 2:
        notes.append("delivery not confirmed: a provider speaks version 1 of the protocol")
    prior = context.prior.tasks.get(address)
    changing = task.unknown or any(flow in context.options.discovered for flow in required.streams)
    applied = not changing and prior is not None and prior.fingerprint == task.fingerprint(context.pool, context.key)
    return TaskNote(address, applied, streams=required.stream_names, notes=tuple(notes))
