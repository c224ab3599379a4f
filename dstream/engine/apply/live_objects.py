"""Live objects: the objects and providers of a plan as the steps of an apply leave them."""

from __future__ import annotations

from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.plan.plan_result import PlanResult
from dstream.engine.providers.provider_config import ProviderSpec, make_spec
from dstream.engine.providers.task_instance import TaskInstance, task_instance
from dstream.engine.providers.type_rules import NO_RULES, ResourceTypeRules, rules_of
from dstream_state import ObjectState, PutProvider, Record


class LiveObjects:
    """The existing objects by address, and the providers by name; steps add and remove objects."""

    def __init__(self, state: ApplyState, planned: PlanResult) -> None:
        """Begin with the prior objects of a plan."""
        self._state, self._planned = state, planned
        self.by_address: dict[str, ObjectState] = dict(planned.snapshot.resources)
        self.scope = state.operation.module.scope(resources=planned.resource_values)
        self._specs: dict[str, ProviderSpec] = dict(planned.specs)
        self._recorded_specs: set[str] = set()
        self._rules: dict[tuple[str, str], ResourceTypeRules] = {}
        self._task_names: dict[str, InstanceNames] = {}

    def rules(self, spec: ProviderSpec, type_: str) -> ResourceTypeRules:
        """Return the rules of a type, by the provider's schema."""
        known = self._rules.get((spec.name, type_))
        if known is None:
            known = rules_of(self._state.pool.installed(spec).info, type_) or NO_RULES
            self._rules[spec.name, type_] = known
        return known

    def spec(self, name: str) -> ProviderSpec:
        """Return a provider of the plan; parts of its configuration may be unknown."""
        return self._specs[name]

    def known_spec(self, name: str, records: list[Record]) -> ProviderSpec:
        """Return a provider with its configuration evaluated; add its record for the state to `records`."""
        spec = self._specs[name]
        if spec.unknown:
            spec = self._specs[name] = self._evaluated_again(spec)
        if name not in self._recorded_specs:
            recorded = spec.to_state(self._state.pool.installed(spec).info.version)
            if self._planned.snapshot.providers.get(name) != recorded:
                records.append(PutProvider(name, recorded))
            self._recorded_specs.add(name)
        return spec

    def record_specs(self, names: set[str], records: list[Record]) -> None:
        """Add what the state has to record of providers that the plan has."""
        for name in sorted(names & self._specs.keys()):
            self.known_spec(name, records)

    def task_again(self, task: TaskInstance) -> TaskInstance:
        """Evaluate a task again, now that its unknown values are known."""
        block = task.block
        names = self._task_names.setdefault(block.name, InstanceNames(block.for_each, block.count)).of(self.scope)
        config = self._state.operation.config
        return task_instance(block, task.address.key, self.scope.bind(names[task.address.key]), config)

    def _evaluated_again(self, spec: ProviderSpec) -> ProviderSpec:
        config = self._state.operation.config
        for task in self._planned.tasks.values():
            for side in task.sides:
                if side.spec.name == spec.name:
                    fresh = self.task_again(task)
                    return next(each.spec for each in fresh.sides if each.spec.name == spec.name)
        block = config.providers[spec.name.partition(".")[2]]
        return make_spec(
            spec.name, block.launch, block.config, "resource", self.scope, config, default=spec.source.value
        )
