"""Drift: what was changed outside since the last apply, without asking what the configuration wants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.comparison import drift_of
from dstream.engine.operation import DATA_DIR, Operation
from dstream.engine.plan import current_state
from dstream.engine.providers import ProviderPool, ProviderSpec, make_spec, revive
from dstream.engine.refresh import Reality, Refresh
from dstream.engine.rules import rules_of
from dstream.engine.secrets import told
from dstream.plan import Drift, DriftKind
from dstream_state import ObjectState, Snapshot


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was found: drift by object, how many objects were asked, and what could not be asked and why."""

    drifts: tuple[Drift, ...]
    asked: int
    unasked: tuple[str, ...]
    """Objects whose provider cannot be asked, such as the lifecycle of a version 1 output."""
    pending: int
    """Records of an unfinished operation."""

    def of(self, kind: DriftKind) -> list[Drift]:
        """Return the drift of one kind."""
        return [drift for drift in self.drifts if drift.kind is kind]


def find_drift(operation: Operation) -> DriftReport:
    """Ask the providers about every recorded object and compare."""
    snapshot, pending = current_state(operation)
    pool = ProviderPool(operation.root, operation.root / DATA_DIR)
    try:
        return _compare(operation, snapshot, pool, pending)
    finally:
        pool.close()


def _compare(operation: Operation, snapshot: Snapshot, pool: ProviderPool, pending: int) -> DriftReport:
    refresh = Refresh(pool)
    by_provider: dict[str, dict[str, ObjectState]] = {}
    for address, item in snapshot.resources.items():
        if item.status in ("ok", "tainted"):
            by_provider.setdefault(item.provider, {})[address] = item
    failed: dict[str, tuple[Diagnostic, ...]] = {}
    unordered: dict[str, Collection[str]] = {}
    for name, objects in by_provider.items():
        try:
            spec = _spec(operation, snapshot, name)
            pool.prepare([spec])
            refresh.ask(spec, objects, {a: told(o.attributes, (), snapshot.hmac_key) for a, o in objects.items()})
            info = pool.installed(spec).info
            for item in objects.values():
                rules = rules_of(info, item.type)
                unordered[item.type] = rules.unordered if rules is not None else ()
        except DiagnosticsError as problem:
            failed.update(dict.fromkeys(objects, problem.diagnostics))
    drifts, unasked, asked = [], [], 0
    for address in sorted(address for objects in by_provider.values() for address in objects):
        item = snapshot.resources[address]
        found = refresh.reality(address)
        if address in failed:
            found = Reality(True, None, diagnostics=failed[address])
        if not found.asked:
            unasked.append(address)
            continue
        asked += 1
        drift = drift_of(address, item, found, snapshot.hmac_key, unordered.get(item.type, ()))
        if drift is not None:
            drifts.append(drift)
    return DriftReport(tuple(drifts), asked, tuple(unasked), pending)


def _spec(operation: Operation, snapshot: Snapshot, name: str) -> ProviderSpec:
    """Return a provider as the state recorded it; it is brought up to date by every apply."""
    scope = operation.module.scope(resources=lambda root: {})
    recorded = snapshot.providers.get(name)
    if recorded is not None:
        return revive(name, recorded, scope)
    rest = name.partition(".")[2]
    block = operation.config.providers[rest]
    return make_spec(name, block.launch, block.config, "resource", scope, operation.config, default=rest)
