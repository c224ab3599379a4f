"""Task changes: what a plan changes in a task besides its objects, and how its source is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from dstream.addresses import TaskAddress, parse_address
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.task_consequences import removed_consequences, task_consequences, unassessed
from dstream.engine.providers.task_instance import TaskInstance
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.engine.providers.task_settings import input_name, is_applied, task_settings
from dstream.plan import Action, TaskChange
from dstream_state import TaskState


def task_change(context: PlanContext, task: TaskInstance, required: RequiredObjects) -> TaskChange:
    """Return the change of a configured task."""
    address = str(task.address)
    origin = address if address in context.prior.tasks else context.prior.moved_tasks.get(address)
    prior = context.prior.tasks.get(origin) if origin is not None else None
    after = task_settings(task, context.pool, context.key)
    streams = required.stream_names
    recorded = prior is not None and prior.settings is not None
    change = TaskChange(
        address,
        _action(context, task, required, prior, origin, after),
        before=prior.settings if prior is not None else None,
        after=after,
        moved_from=origin if origin != address else None,
        streams=streams,
        new_streams=tuple(name for name in streams if prior is not None and recorded and name not in prior.streams),
        lost_streams=tuple(name for name in prior.streams if name not in streams) if prior is not None else (),
        notes=tuple(_notes(context, task)),
        unassessed=unassessed(context, task),
    )
    return replace(change, consequences=task_consequences(context, task, required, change))


def removed_task(context: PlanContext, address: str) -> TaskChange:
    """Return the change of an applied task that is no longer configured, or that is destroyed."""
    prior = context.prior.tasks[address]
    return TaskChange(
        address,
        Action.DELETE,
        before=prior.settings,
        streams=prior.streams,
        consequences=removed_consequences(address),
    )


def _action(
    context: PlanContext,
    task: TaskInstance,
    required: RequiredObjects,
    prior: TaskState | None,
    origin: str | None,
    after: Mapping[str, Any],
) -> Action:
    if prior is None or origin is None:
        return Action.CREATE
    if prior.settings is not None and input_name(prior.settings) != input_name(after):
        return Action.REPLACE
    changing = task.unknown or any(flow in context.options.discovered for flow in required.streams)
    if not changing and is_applied(prior, _at(task, origin), context.pool, context.key):
        return Action.NO_OP
    return Action.UPDATE


def _at(task: TaskInstance, address: str) -> TaskInstance:
    """Return a task under the address at which it was applied."""
    applied = parse_address(address)
    return replace(task, address=applied) if isinstance(applied, TaskAddress) else task


def _notes(context: PlanContext, task: TaskInstance) -> list[str]:
    notes = []
    if len(task.outputs) > 1:
        notes.append(f"the source is read {len(task.outputs)} times, once for each output")
    versions = [context.pool.installed(side.spec).info.protocol for side in task.sides]
    if min(versions) < 2:
        notes.append("delivery not confirmed: a provider speaks version 1 of the protocol")
    return notes
