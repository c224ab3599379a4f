"""Drift: differences between the state and the real objects, by class.

*Changed*, *missing* and *unreachable* describe real objects, independent of the configuration: providers are configured
from the state. *Pending* changes are in the configuration and not applied yet; finding them refreshes no object. The
first three need attention, the last one only an apply.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.commands.drift_ignore import IgnoreRule, apply_ignore_rules, ignore_rules
from dstream.engine.commands.plan import current_state
from dstream.engine.evaluate.redaction import prior_for_provider
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.planner import make_plan
from dstream.engine.plan.resource_diff import drift_of
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec, spec_from_state
from dstream.engine.providers.type_rules import rules_of
from dstream.engine.refresh.refresh import Refresh, RefreshedObject
from dstream.engine.refresh.schema_upgrade import try_upgrade
from dstream.engine.setup.operation import Operation
from dstream.plan import Action, Change, Drift, DriftKind, OutputChange, TaskChange, changed_names
from dstream_state import ObjectState, Snapshot


class ExpectedDrift(Struct, frozen=True):
    """The changes of one object that rules declare as expected."""

    address: str
    attributes: tuple[str, ...]
    rules: tuple[IgnoreRule, ...]


class PendingChanges(Struct, frozen=True):
    """The changes in the configuration that are not applied yet."""

    changes: tuple[Change, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    tasks: tuple[TaskChange, ...] = ()

    def __len__(self) -> int:
        """Return the number of objects, outputs and tasks."""
        return len(self.changes) + len(self.outputs) + len(self.tasks)


class DriftReport(Struct, frozen=True):
    """The result of a drift check."""

    drifts: tuple[Drift, ...]
    """The objects that differ from the state, without expected differences."""
    checked: int
    """The number of objects that were refreshed."""
    unchecked: Mapping[str, str] = field(default_factory=dict)
    """Objects without a provider to refresh them, and the reason."""
    expected: tuple[ExpectedDrift, ...] = ()
    expired: tuple[IgnoreRule, ...] = ()
    """Expired rules."""
    unused: tuple[IgnoreRule, ...] = ()
    """Rules that match no recorded object."""
    pending: PendingChanges = PendingChanges()
    unfinished: int = 0
    """The number of records of a running or interrupted operation, which count as done."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """Why pending changes could not be determined."""
    warnings: tuple[Diagnostic, ...] = ()
    """Warnings of providers about the resources that tasks require."""

    def of(self, kind: DriftKind) -> list[Drift]:
        """Return the drift of one kind."""
        return [drift for drift in self.drifts if drift.kind is kind]

    @property
    def exit_code(self) -> int:
        """1 for an error or an unreachable object, otherwise 2 for changed or missing objects, otherwise 0."""
        if self.diagnostics or self.of(DriftKind.UNREACHABLE):
            return 1
        return 2 if self.drifts else 0


def find_drift(operation: Operation, today: date | None = None) -> DriftReport:
    """Refresh every recorded object and compare it with the state; then find pending changes of the configuration."""
    rules = ignore_rules(operation.config)
    snapshot, unfinished = current_state(operation)
    with ProviderPool(operation) as pool:
        check = _DriftCheck(operation, snapshot, pool)
        check.ask()
        pending, diagnostics, warnings = _pending(operation, snapshot)
        found = check.compare()
    day = today if today is not None else datetime.now(UTC).date()
    expired = tuple(rule for rule in rules if rule.expired(day))
    valid = [rule for rule in rules if rule not in expired]
    drifts, expected = [], []
    for drift in found:
        left, hidden = _split_expected(drift, valid, check.unordered(drift.address))
        drifts += [left] if left is not None else []
        expected += [hidden] if hidden is not None else []
    return DriftReport(
        tuple(drifts),
        check.checked,
        check.unchecked,
        tuple(expected),
        expired,
        tuple(rule for rule in rules if not any(map(rule.covers, snapshot.resources))),
        pending,
        unfinished,
        diagnostics,
        warnings,
    )


def _split_expected(
    drift: Drift, rules: list[IgnoreRule], unordered: Collection[str]
) -> tuple[Drift | None, ExpectedDrift | None]:
    """Return the unexpected rest of a drift, and its expected part."""
    if drift.kind is not DriftKind.CHANGED or drift.before is None or drift.after is None:
        return drift, None
    holding = tuple(rule for rule in rules if rule.covers(drift.address))
    after = apply_ignore_rules(holding, drift.before, drift.after)
    if after == drift.after:
        return drift, None
    expected = ExpectedDrift(drift.address, tuple(changed_names(after, drift.after, unordered)), holding)
    left = changed_names(drift.before, after, unordered)
    return replace(drift, after=after) if left else None, expected


def _pending(
    operation: Operation, snapshot: Snapshot
) -> tuple[PendingChanges, tuple[Diagnostic, ...], tuple[Diagnostic, ...]]:
    """Return the changes from the recorded state to the configuration, errors, and warnings; refreshes nothing."""
    try:
        with ProviderPool(operation) as pool:
            prepared = make_plan(operation, snapshot, pool, PlanOptions(refresh=False, assess=True))
    except DiagnosticsError as problem:
        return PendingChanges(), problem.diagnostics, ()
    plan = prepared.plan
    return (
        PendingChanges(
            tuple(change for change in plan.changes if change.changes_state),
            tuple(output for output in plan.outputs if output.action is not Action.NO_OP),
            tuple(task for task in plan.tasks if not task.applied),
        ),
        (),
        tuple(warning for required in prepared.required.values() for warning in required.warnings),
    )


class _DriftCheck:
    """The refresh of all recorded objects, and its answers."""

    def __init__(self, operation: Operation, snapshot: Snapshot, pool: ProviderPool) -> None:
        self.checked = 0
        self.unchecked: dict[str, str] = {}
        self._operation, self._snapshot, self._pool = operation, snapshot, pool
        self._refresh = Refresh(pool, operation.refresh_progress)
        self._failed: dict[str, tuple[Diagnostic, ...]] = {}
        self._unordered: dict[tuple[str, str], Collection[str]] = {}
        self._by_provider: dict[str, dict[str, ObjectState]] = {}
        for address, item in snapshot.resources.items():
            if item.status in ("ok", "tainted"):
                self._by_provider.setdefault(item.provider, {})[address] = item
            else:
                self.unchecked[address] = f"it is {item.status}: unknown whether it exists"

    def ask(self) -> None:
        """Send all requests, those for one provider to one process."""
        specs: dict[str, ProviderSpec] = {}
        for name, objects in self._by_provider.items():
            try:
                specs[name] = self._spec(name)
            except DiagnosticsError as problem:
                self._failed.update(dict.fromkeys(objects, problem.diagnostics))
        with contextlib.suppress(DiagnosticsError):  # Whose fault it was is found out one by one.
            self._pool.prepare(specs.values())
        key = self._snapshot.hmac_key
        for name, spec in specs.items():
            objects = self._by_provider[name]
            try:
                info = self._pool.installed(spec).info
                objects = self._raised(spec, objects)
                self._refresh.ask(
                    spec, objects, {a: prior_for_provider(o.attributes, (), key) for a, o in objects.items()}
                )
                for type_ in {item.type for item in objects.values()}:
                    rules = rules_of(info, type_)
                    self._unordered[name, type_] = rules.unordered if rules is not None else ()
            except DiagnosticsError as problem:
                self._failed.update(dict.fromkeys(objects, problem.diagnostics))

    def _raised(self, spec: ProviderSpec, objects: Mapping[str, ObjectState]) -> dict[str, ObjectState]:
        """Upgrade objects to the present version of their schema for the comparison; leave out those that fail."""
        key, encrypted = self._snapshot.hmac_key, self._operation.encrypted
        fresh, problems = try_upgrade(spec, objects, self._pool, key, encrypted=encrypted)
        for problem in problems:
            address = str(problem.address)
            self._failed[address] = (*self._failed.get(address, ()), problem)
        self._snapshot = replace(self._snapshot, resources={**self._snapshot.resources, **fresh})
        return {address: fresh.get(address, item) for address, item in objects.items() if address not in self._failed}

    def compare(self) -> list[Drift]:
        """Wait for the answers and return the differences, ordered by address."""
        found = []
        for address in sorted(address for objects in self._by_provider.values() for address in objects):
            refreshed = self._refresh.result(address)
            if address in self._failed:
                refreshed = RefreshedObject(True, None, diagnostics=self._failed[address])
            if not refreshed.queried:
                self.unchecked[address] = "its provider speaks version 1 of the protocol"
                continue
            self.checked += 1
            item = self._snapshot.resources[address]
            drift = drift_of(address, item, refreshed, self._snapshot.hmac_key, self.unordered(address))
            if drift is not None:
                found.append(drift)
        return found

    def unordered(self, address: str) -> Collection[str]:
        """Return the attributes of an object whose order is not significant."""
        item = self._snapshot.resources[address]
        return self._unordered.get((item.provider, item.type), ())

    def _spec(self, name: str) -> ProviderSpec:
        """Return a provider from the state, which every apply updates."""
        scope = self._operation.module.scope(resources=lambda _root: {})
        recorded = self._snapshot.providers.get(name)
        if recorded is not None:
            return spec_from_state(name, recorded, scope, self._operation.config)
        rest = name.partition(".")[2]
        block = self._operation.config.providers[rest]
        return make_spec(name, block.launch, block.config, "resource", scope, self._operation.config, default=rest)
