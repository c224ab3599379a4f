"""Plan: reads the state without a lock, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from dstream.engine.plan.plan_result import PlanOptions, PlanResult
from dstream.engine.plan.planner import make_plan
from dstream.engine.plan.policies import with_policies
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.setup.operation import Operation
from dstream_state import Snapshot, overlay

Save = Callable[[PlanResult, ProviderPool], None]


def plan(operation: Operation, options: PlanOptions, save: Save | None = None) -> PlanResult:
    """Return what an apply would do now; raise DiagnosticsError with all errors.

    `save` is called with the plan while its providers are still running.
    """
    snapshot, pending = current_state(operation)
    with ProviderPool(operation) as pool:
        prepared = make_plan(operation, snapshot, pool, options, pending=pending)
        prepared = replace(prepared, plan=with_policies(operation, prepared.plan))
        if save is not None:
            save(prepared, pool)
        return prepared


def current_state(operation: Operation) -> tuple[Snapshot, int]:
    """Return the state, and the number of records of an unfinished operation in it."""
    view = operation.backend.read()
    snapshot = view.snapshot or Snapshot.new(view.lineage)
    return (overlay(snapshot, view.pending), len(view.pending)) if view.pending else (snapshot, 0)
