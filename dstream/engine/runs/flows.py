"""Flows: what `run` runs. A task is one flow for each of its outputs, each with an input process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from dstream.addresses import TaskAddress
from dstream.config import TaskBlock
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.evaluate.expansion import instances, task_instances
from dstream.engine.evaluate.redaction import has_withheld
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_instance import (
    Side,
    TaskInstance,
    discovered_of,
    flow_name,
    side_name,
    task_instance,
)
from dstream.engine.providers.task_requirements import RequiredObjects, TaskRequirements
from dstream.engine.providers.task_settings import changed_settings, is_applied
from dstream.engine.refresh.prior_values import PriorValues, expressions_of
from dstream.engine.setup.operation import Operation
from dstream.run import Endpoint, Flow
from dstream_state import Snapshot, TaskState

_SHOWN = 5
"""The number of changed settings that an error names."""


def task_block(operation: Operation, name: str) -> TaskBlock:
    """Return the block of a task by name (`task.` and a key are ignored); raise DiagnosticsError if there is none."""
    bare = name.removeprefix("task.").split("[", 1)[0].split("/", 1)[0]
    block = operation.config.tasks.get(bare)
    if block is None:
        import difflib

        names = sorted(operation.config.tasks)
        near = difflib.get_close_matches(bare, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Tasks: {', '.join(names) or 'none'}."
        raise DiagnosticsError(error("Unknown task", f"There is no task {bare!r} in the configuration. {hint}"))
    return block


def flow_names(operation: Operation, task: str) -> list[str]:
    """Return the names of the flows of a task, or the one flow that is named."""
    block = task_block(operation, task)
    scope = operation.module.scope(resources=lambda _root: {})
    names = [
        flow_name(TaskAddress(block.name, key), output.label)
        for key, _ in instances(block.for_each, block.count, scope)
        for output in block.outputs
    ]
    selected = task.removeprefix("task.")
    matching = [name for name in names if name == selected or name.startswith((f"{selected}/", f"{selected}["))]
    if not matching:
        raise DiagnosticsError(
            error("Unknown task", f"{selected} names no flow. There are: {', '.join(names) or 'none'}.")
        )
    return matching


class NotAsApplied(DiagnosticsError):
    """A task is not applied as it is configured."""


def make_flows(
    operation: Operation, name: str, snapshot: Snapshot, pool: ProviderPool, *, unapplied: bool
) -> list[Flow]:
    """Return the flows of a task, or the one that is named.

    Raises NotAsApplied if the configuration differs from what was applied, unless `unapplied` is set; DiagnosticsError.
    """
    block = task_block(operation, name)
    recorded = PriorValues(snapshot, operation, pool, expressions_of(operation, block))
    scope = operation.module.scope(resources=recorded)
    try:
        tasks = [
            task_instance(block, key, scope.bind(names), operation.config)
            for key, names in task_instances(block, scope)
        ]
    except DiagnosticsError as problem:
        raise DiagnosticsError([*problem.diagnostics, *recorded.problems]) from None
    pool.prepare(side.spec for task in tasks for side in task.sides)
    selected = set(flow_names(operation, name))
    flows = []
    for task in tasks:
        chosen = [output for output in task.outputs if flow_name(task.address, output.label) in selected]
        if not chosen:
            continue
        if not unapplied:
            _check_applied(task, snapshot, pool)
        _check_known(task, pool)
        discovered = replace(task, discovered=discovered_of(snapshot.tasks, task))
        required = TaskRequirements(pool).result(discovered)
        if required.problems:
            raise DiagnosticsError(required.problems)
        fingerprint = task.fingerprint(pool, snapshot.hmac_key)
        flows += [_flow(task, output, required, pool, fingerprint) for output in chosen]
    return flows


def _flow(task: TaskInstance, output: Side, required: RequiredObjects, pool: ProviderPool, fingerprint: str) -> Flow:
    return Flow(
        name=flow_name(task.address, output.label),
        task=flow_name(task.address, output.label),
        input=_endpoint(task.input.spec, pool),
        output=_endpoint(output.spec, pool),
        streams=required.streams[flow_name(task.address, output.label)],
        fingerprint=fingerprint,
        record_limit=task.limits.record_limit,
        max_dead_letters=task.limits.max_dead_letters,
        address=str(task.address) if output.label is None else side_name(task.address, "output", output.label),
    )


def _endpoint(spec: ProviderSpec, pool: ProviderPool) -> Endpoint:
    found = pool.installed(spec)
    return Endpoint(found.binary, found.info, spec.wire(found.info), pool.secrets_of(spec))


def _check_applied(task: TaskInstance, snapshot: Snapshot, pool: ProviderPool) -> None:
    address = str(task.address)
    recorded = snapshot.tasks.get(address)
    name = address.removeprefix("task.")
    if recorded is None:
        raise NotAsApplied(
            error(
                "Task not applied",
                f"{address} may need objects that do not exist yet. Apply it first: dstream apply {name}; or do both "
                "with dstream run -apply; or run it as it is with dstream run -unapplied.",
                task.block.range,
                address=address,
            )
        )
    if not is_applied(recorded, task, pool, snapshot.hmac_key):
        raise NotAsApplied(
            error(
                "Task changed since apply",
                f"{_what_changed(recorded, task, pool, snapshot.hmac_key)} is not what was applied on "
                f"{recorded.applied_at}. See the difference with dstream plan {name}, then dstream apply {name}; "
                "or run it as it is with dstream run -unapplied.",
                task.block.range,
                address=address,
            )
        )


def _what_changed(recorded: TaskState, task: TaskInstance, pool: ProviderPool, key: bytes) -> str:
    names = changed_settings(recorded, task, pool, key)
    if not names:
        return f"The configuration of {task.address}, or the version of a provider,"
    more = ", ..." if len(names) > _SHOWN else ""
    return f"The configuration of {task.address} ({', '.join(names[:_SHOWN])}{more})"


def _check_known(task: TaskInstance, pool: ProviderPool) -> None:
    for side in task.sides:
        wire: Mapping[str, Any] = side.spec.wire(pool.installed(side.spec).info)
        if side.spec.unknown:
            raise DiagnosticsError(
                error(
                    "Value not known",
                    f"{side.spec.name} needs a value of a resource that was not applied.",
                    side.spec.range,
                )
            )
        if has_withheld(wire):
            raise DiagnosticsError(
                error(
                    "Missing secret of a resource",
                    f"{side.spec.name} needs a secret that a resource has, and the state keeps secrets only when it is "
                    'encrypted. Give it to the task by an environment variable, env("NAME").',
                    side.spec.range,
                )
            )
