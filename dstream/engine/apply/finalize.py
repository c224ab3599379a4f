"""Finalize: records what an apply changes besides objects: tasks, outputs, providers, dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.apply.live_objects import LiveObjects
from dstream.engine.apply.unplanned_values import UnplannedValues
from dstream.engine.evaluate.conditions import (
    check_postconditions,
    check_preconditions,
    failed_checks,
    require_conditions,
)
from dstream.engine.evaluate.output_values import output_value
from dstream.engine.evaluate.redaction import redact, reveal
from dstream.engine.evaluate.resource_values import mark_sensitive
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.task_requirements import RequiredObjects
from dstream.engine.providers.task_settings import task_state, with_settings
from dstream.lang import contains_unknown
from dstream.plan import Action, TaskChange
from dstream_state import OutputState, Put, PutOutput, PutProvider, PutTask, Record, TaskState


class Finalizer:
    """The end of one pass over the steps of a plan."""

    def __init__(self, state: ApplyState, planned: PlanResult, live: LiveObjects, failed: Collection[str]) -> None:
        """`failed` has the addresses of the objects that failed or were skipped."""
        self.diagnostics: list[Diagnostic] = []
        """Failed conditions and checks, and outputs that cannot be evaluated."""
        self._state, self._planned, self._live, self._failed = state, planned, live, failed

    def records(self, *, stopped: bool) -> list[Record]:
        """Return the records; with `stopped`, some steps were not attempted."""
        records: list[Record] = []
        plan = self._planned.plan
        for change in plan.tasks:
            if plan.destroy or change.address not in self._planned.tasks:
                if change.address in self._planned.snapshot.tasks and not self._any_left(change.address):
                    records.append(PutTask(change.address, None))
            elif not self._touches_failure(change.address) and not stopped:
                records += self._task(change)
        unplanned = UnplannedValues(self._state, self._planned, self._live, self._failed)
        for output in plan.outputs:
            if output.action is Action.DELETE:
                records.append(PutOutput(output.name, None))
            elif output.action is not Action.NO_OP or unplanned.by_block:
                value = self._output(output.name)
                if value is not None and value != self._planned.snapshot.outputs.get(output.name):
                    records.append(PutOutput(output.name, value))
        if plan.destroy and not self._live.by_address:
            records += [PutOutput(name, None) for name in self._planned.snapshot.outputs]
        if not plan.destroy and not stopped:
            self.diagnostics += self._conditions()
            self.diagnostics += unplanned.warnings()
        used = {item.provider for item in self._live.by_address.values()}
        records += [PutProvider(name, None) for name in self._state.held.current().providers if name not in used]
        return records

    def _conditions(self) -> Iterator[Diagnostic]:
        """Evaluate the conditions of unchanged objects and the checks with the final values; yield what fails."""
        for change in self._planned.plan.changes:
            desired = self._planned.desired.get(change.address)
            if desired is None or change.action is not Action.NO_OP:
                continue
            yield from check_preconditions(desired, self._live.scope)
            item = self._live.by_address.get(change.address)
            if item is not None and desired.lifecycle.postconditions:
                rules = self._live.rules(self._live.spec(desired.provider), desired.type)
                completed = rules.implied_type.complete(reveal(item.attributes, desired.attributes))
                yield from check_postconditions(
                    desired, self._live.scope, mark_sensitive(completed, item.sensitive, desired.address)
                )
        yield from failed_checks(self._state.operation.config, self._live.scope)

    def _any_left(self, task: str) -> bool:
        return any(address.startswith(f"{task}.") for address in self._live.by_address)

    def _touches_failure(self, task: str) -> bool:
        block = task.split("[", 1)[0]
        needed = {block, *self._planned.block_needs.get(block, ())}
        return any(
            address.startswith(tuple(f"{name}." for name in needed)) or address in needed for address in self._failed
        )

    def _task(self, change: TaskChange) -> Iterator[Record]:
        """Yield the record of a configured task, if the state does not have it as it is."""
        task, required = self._planned.tasks[change.address], self._planned.required[change.address]
        pool, key = self._state.pool, self._state.key
        prior = self._planned.snapshot.tasks.get(change.address)
        if not change.applied or prior is None:
            fresh = self._live.task_again(task) if any(side.spec.unknown for side in task.sides) else task
            yield PutTask(change.address, task_state(fresh, required, pool, key))
        elif prior.settings is None or _other_streams(prior, required):
            yield PutTask(change.address, with_settings(prior, task, required, pool, key))

    def _output(self, name: str) -> OutputState | None:
        block = self._state.operation.config.outputs[name]
        try:
            require_conditions(block.preconditions, self._live.scope, "Precondition not met", f"output.{name}")
            value, sensitive = output_value(block, self._live.scope)
        except DiagnosticsError as problem:
            self.diagnostics.extend(problem.diagnostics)
            return None
        if contains_unknown(value):
            return None
        kept = value if self._state.operation.encrypted or not sensitive else redact(value, [()], self._state.key)
        return OutputState(kept, sensitive)


def _other_streams(prior: TaskState, required: RequiredObjects) -> bool:
    return (prior.streams, prior.columns) != (required.stream_names, required.columns)


def unchanged_task_records(planned: PlanResult, pool: ProviderPool, key: bytes) -> list[Record]:
    """Return the records of unchanged tasks whose sources have other streams or columns than at their last apply."""
    updated = {record.address for record in planned.state_updates if isinstance(record, PutTask)}
    found: list[Record] = []
    for change in planned.plan.tasks:
        prior, required = planned.snapshot.tasks.get(change.address), planned.required.get(change.address)
        if not change.applied or prior is None or required is None or change.address in updated:
            continue
        if prior.settings is not None and _other_streams(prior, required):
            task = planned.tasks[change.address]
            found.append(PutTask(change.address, with_settings(prior, task, required, pool, key)))
    return found


def unchanged_object_records(planned: PlanResult, pool: ProviderPool) -> list[Record]:
    """Return the records that unchanged objects and their providers need, such as new dependencies."""
    snapshot = planned.snapshot
    found: list[Record] = []
    for change in planned.plan.changes:
        item = snapshot.resources.get(change.address)
        if change.action is Action.NO_OP and item is not None and change.address in planned.desired:
            desired = planned.desired[change.address]
            kept = replace(
                item,
                dependencies=desired.dependencies,
                create_before_destroy=desired.lifecycle.create_before_destroy,
                prevent_destroy=desired.provider_prevents_destroy,
                protected=desired.lifecycle.prevent_destroy,
                timeouts=desired.timeouts,
            )
            if kept != item:
                found.append(Put(change.address, kept))
    for name in sorted({item.provider for item in snapshot.resources.values()}):
        spec = planned.specs.get(name)
        if spec is not None and not spec.unknown:
            recorded = spec.to_state(pool.installed(spec).info.version)
            if snapshot.providers.get(name) != recorded:
                found.append(PutProvider(name, recorded))
    return found
