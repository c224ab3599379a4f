"""New streams: creates the objects that a running output needs for a table that it discovered.

This is an apply of its own: under the lock of the state, with intents and results in the journal. The table is recorded
with the task, so that later plans include the objects. Pending changes of the configuration are not applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.apply import ApplyOptions, apply
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.providers.task_instance import with_discovered
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.plan import Action, Plan
from dstream.run import Flow
from dstream.stopping import Stop

LOCK_TIMEOUT = 300.0
"""Seconds to wait for the lock of the state, which another apply may hold."""


def create_for_streams(
    operation: Operation, flow: Flow, streams: Sequence[Mapping[str, Any]], observer: Observer
) -> Flow:
    """Create the objects that `streams` need, and return the flow with them. Raises DiagnosticsError or StateError."""
    task = "task." + flow.name.partition("/")[0]
    names = ", ".join(str(stream.get("name")) for stream in streams)

    def approve(plan: Plan) -> bool:
        other = [
            change.address
            for change in plan.changes
            if change.action is not Action.NO_OP
            and not (change.action is Action.CREATE and change.address.startswith(f"{task}.output"))
        ]
        if other:
            raise DiagnosticsError(
                error(
                    "Pending new table",
                    f"{flow.name} has met {names}, which it was not told of. More than objects for it is to be changed "
                    f"({', '.join(other[:5])}): apply that first, with dstream apply {flow.name.partition('/')[0]}",
                )
            )
        return True

    options = PlanOptions(targets=(task,), assess=False, discovered={flow.name: tuple(streams)})
    outcome = apply(operation, ApplyOptions(options, lock_timeout=LOCK_TIMEOUT), approve, observer, Stop())
    if outcome.diagnostics:
        raise DiagnosticsError(outcome.diagnostics)
    return replace(flow, streams=with_discovered(flow.streams, streams))
