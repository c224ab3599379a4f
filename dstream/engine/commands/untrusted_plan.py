"""Untrusted plan: plans a configuration that is not trusted, and says what the plan leaves out.

Neither the state nor a backend is opened, nothing is refreshed, and blocks whose providers may not start are left out
with everything that depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from dstream.config import Launch
from dstream.diagnostics import DiagnosticsError
from dstream.engine.evaluate.expansion import instances
from dstream.engine.evaluate.targeting import block_of_text
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.planner import make_plan
from dstream.engine.plan.policies import with_policies
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import default_spec, source_from_state, source_of
from dstream.engine.providers.untrusted_sources import refusal
from dstream.engine.setup.block_graph import provider_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream.plan import Plan
from dstream_state import Snapshot, overlay


def plan_untrusted(operation: Operation, options: PlanOptions) -> Plan:
    """Return the plan of a configuration that is not trusted; raise DiagnosticsError with all errors."""
    confinement = operation.confinement
    assert confinement is not None  # noqa: S101 - the operation was opened for a configuration that is not trusted
    snapshot = _snapshot(operation)
    left_out = dict(_left_out(operation, snapshot))
    for block, reason in left_out.items():
        confinement.withhold("block", block, reason)
    options = replace(options, refresh=False, exclude=(*options.exclude, *left_out))
    with ProviderPool(operation) as pool:
        plan = make_plan(operation, snapshot, pool, options).plan
    return replace(with_policies(operation, plan), left_out=confinement.withheld())


def _snapshot(operation: Operation) -> Snapshot:
    path = operation.untrusted.state if operation.untrusted is not None else None
    if path is None:
        return Snapshot.new("")
    from dstream_state.state_files import load

    file = load(path)
    found = file.snapshot or Snapshot.new(file.lineage)
    return overlay(found, file.records) if file.records else found


def _left_out(operation: Operation, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the blocks, declared and recorded, whose providers may not start, with the reason."""
    config = operation.config
    scope = operation.module.scope(planning=True)
    providers = {
        name: _refused(operation, scope, block.launch, default=name) for name, block in config.providers.items()
    }
    yield from ((f"provider.{name}", reason) for name, reason in providers.items() if reason is not None)
    for (type_, name), block in config.resources.items():
        provider = provider_of(block)
        if provider not in providers:
            providers[provider] = refusal(default_spec(provider, block, config).source, operation)
        if (reason := providers[provider]) is not None:
            yield f"{type_}.{name}", reason
    for name in config.tasks:
        if (reason := _of_task(operation, scope, name)) is not None:
            yield f"task.{name}", reason
    for address, item in snapshot.resources.items():
        recorded = snapshot.providers.get(item.provider)
        if recorded is not None:
            reason = refusal(source_from_state(recorded, config), operation)
            if reason is not None:
                yield block_of_text(address), reason


def _of_task(operation: Operation, scope: Scope, name: str) -> str | None:
    """Return why a provider of a task may not start; None if all may."""
    task = operation.config.tasks[name]
    try:
        for _, names in instances(task.for_each, task.count, scope):
            for side in (task.input, *task.outputs):
                reason = _refused(operation, scope.bind(names), side.launch)
                if reason is not None:
                    return reason
    except DiagnosticsError as problem:
        return _unknown(problem)
    return None


def _refused(operation: Operation, scope: Scope, launch: Launch, default: str | None = None) -> str | None:
    try:
        return refusal(source_of(launch, scope, operation.config, default), operation)
    except DiagnosticsError as problem:
        return _unknown(problem)


def _unknown(problem: DiagnosticsError) -> str:
    first = problem.diagnostics[0]
    return f"its providers are not known here ({first.summary})"
