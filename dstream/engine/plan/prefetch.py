"""Prefetch: starts the providers of a plan, and sends their requests before the answers are needed.

Everything that waits for a process starts before the fold over the blocks. A provider whose configuration depends on a
resource starts during the fold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.expansion import task_instances
from dstream.engine.evaluate.redaction import prior_for_provider
from dstream.engine.evaluate.targeting import Selection, block_of_text
from dstream.engine.plan.kept_providers import is_kept, keep_replaced
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.recorded_answers import RecordedAnswers, SavedRefresh, SavedTaskRequirements
from dstream.engine.plan.task_records import TaskRecords
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, default_spec, provider_spec, spec_from_state
from dstream.engine.providers.task_instance import TaskInstance, discovered_of, task_instance
from dstream.engine.providers.task_requirements import RequiredObjects, TaskRequirements
from dstream.engine.refresh.prior_state import PriorState
from dstream.engine.refresh.refresh import Refresh, RefreshedObject
from dstream.engine.refresh.schema_upgrade import upgrade_objects
from dstream.engine.setup.block_graph import ObjectDependencies, provider_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream_state import ObjectState


class Prefetch:
    """The provider specs of a plan by name, its tasks by address, and the requests in progress."""

    def __init__(
        self,
        operation: Operation,
        prior: PriorState,
        pool: ProviderPool,
        scope: Scope,
        selection: Selection,
        dependencies: ObjectDependencies,
        options: PlanOptions,
        saved: RecordedAnswers | None,
    ) -> None:
        """Start nothing yet. With the answers of a saved plan, providers are asked only for missing secrets."""
        self._operation, self._prior, self._pool, self._scope = operation, prior, pool, scope
        self._selection, self._dependencies = selection, dependencies
        self._options, self._saved = options, saved
        self._specs: dict[str, ProviderSpec] = {}
        self._tasks: dict[str, TaskInstance] = {}
        self._instances: dict[str, list[TaskInstance]] = {}
        """The same tasks, by the name of their block."""
        self._requested: set[str] = set()
        self.task_records = TaskRecords(operation, prior, pool, options)
        if saved is None:
            self._refresh = Refresh(pool, operation.refresh_progress)
            self._requirements = TaskRequirements(pool, options.parallelism, self.task_records.request)
        else:
            self._refresh = SavedRefresh(pool, operation.refresh_progress, saved.refreshed_objects)
            self._requirements = SavedTaskRequirements(pool, saved.derivations)

    # -- what there is -------------------------------------------------------------------------------

    @property
    def specs(self) -> Mapping[str, ProviderSpec]:
        """The evaluated specs by name."""
        return self._specs

    @property
    def tasks(self) -> Mapping[str, TaskInstance]:
        """The evaluated tasks by address."""
        return self._tasks

    @property
    def requested(self) -> Collection[str]:
        """The addresses of the objects whose refresh was requested."""
        return self._requested

    def refreshed(self, address: str) -> RefreshedObject:
        """Wait for the refresh of an object, which may have been requested under its old address."""
        if address not in self._requested and address in self._prior.previous_addresses:
            return self._refresh.result(self._prior.previous_addresses[address])
        return self._refresh.result(address)

    def refreshed_at(self, address: str) -> RefreshedObject:
        """Wait for the refresh of an object that was requested under this address."""
        return self._refresh.result(address)

    def required(self, task: TaskInstance) -> RequiredObjects:
        """Wait for what a task requires."""
        return self._requirements.result(task)

    def stop(self) -> None:
        """Query no further tasks."""
        self._requirements.stop()

    # -- starting ------------------------------------------------------------------------------------

    def start_early(self) -> list[Diagnostic]:
        """Start all providers whose configuration depends on no resource, refresh prior objects, and query tasks.

        Return the errors of recorded providers; raise DiagnosticsError if a provider is not found. Errors of a block
        are left to the fold, so that none is reported twice.
        """
        for name in self._operation.needs:
            kind, _, rest = name.partition(".")
            if kind in ("provider", "task") and name in self._selection and not self._dependencies.of(name):
                with contextlib.suppress(DiagnosticsError):
                    (self._evaluate_provider if kind == "provider" else self._evaluate_task)(rest)
        config = self._operation.config
        for (type_, name), block in config.resources.items():
            provider = provider_of(block)
            if f"{type_}.{name}" in self._selection and provider not in config.providers:
                self._specs.setdefault(f"provider.{provider}", default_spec(provider, block, config))
        problems = self._prior_specs()
        try:
            self._pool.prepare(self._specs.values())
            self._keep_replaced(list(self._specs.values()))
        except DiagnosticsError as problem:
            raise DiagnosticsError([*problems, *problem.diagnostics]) from None
        if self._options.plans_objects:
            for task in self._tasks.values():
                if not task.unknown:
                    self._requirements.start(task)
        self._request(self._specs.values())
        return problems

    def add_provider(self, name: str) -> None:
        """Evaluate a `provider` block in the fold, unless it was evaluated early."""
        if f"provider.{name}" not in self._specs:
            self._evaluate_provider(name)
            self._join([self._specs[f"provider.{name}"]])

    def add_prior_provider(self, name: str) -> None:
        """Use a provider from the state, if it is recorded; raise DiagnosticsError if a secret of it is missing."""
        prior = self._prior.providers.get(f"provider.{name}")
        if prior is not None:
            spec = spec_from_state(f"provider.{name}", prior, self._scope, self._operation.config)
            self._specs[spec.name] = spec
            self._join([spec])

    def add_task(self, name: str) -> list[TaskInstance]:
        """Evaluate a task in the fold, unless it was evaluated early; return its instances."""
        if not self._instances.get(name):
            self._evaluate_task(name)
            self._join(side.spec for task in self._instances[name] for side in task.sides)
        return self._instances[name]

    def request_absent(self, spec: ProviderSpec, objects: dict[str, ObjectState]) -> None:
        """Query objects that should not exist yet, by their planned identity."""
        if self._options.refresh and objects:
            self._requested.update(objects)
            self._refresh.ask(spec, objects, dict.fromkeys(objects))

    def request_renamed(self, spec: ProviderSpec, objects: dict[str, ObjectState]) -> None:
        """Query objects by their present type; they were requested by one that their provider may no longer have."""
        if self._options.refresh and objects and not spec.unknown:
            self._requested.update(objects)
            key = self._prior.key
            self._refresh.ask(spec, objects, {a: prior_for_provider(o.attributes, (), key) for a, o in objects.items()})

    def read_for_import(self, spec: ProviderSpec, address: str, item: ObjectState) -> RefreshedObject:
        """Read an object to import by its identity, and wait for the answer."""
        return self._refresh.read_for_import(spec, address, item)

    def read_secrets(self, address: str) -> RefreshedObject | None:
        """Read an object that was not refreshed, because an expression uses a secret of it."""
        item = self._prior.objects.get(address)
        spec = self._specs.get(item.provider) if item is not None else None
        if item is None or spec is None or spec.unknown:
            return None
        refresh = Refresh(self._pool, self._operation.refresh_progress)
        refresh.ask(spec, {address: item}, {address: prior_for_provider(item.attributes, (), self._prior.key)})
        return refresh.result(address)

    def _join(self, specs: Iterable[ProviderSpec]) -> None:
        found = list(specs)
        self._pool.prepare(found)
        self._request([*found, *self._keep_replaced(found)])

    def _keep_replaced(self, specs: list[ProviderSpec]) -> list[ProviderSpec]:
        kept = keep_replaced(specs, self._prior, self._pool, self._scope, self._operation.config)
        self._specs.update((spec.name, spec) for spec in kept)
        return kept

    def _evaluate_provider(self, name: str) -> None:
        config = self._operation.config
        spec = self._as_planned(provider_spec(config.providers[name], self._scope, config))
        self._specs[spec.name] = spec

    def _evaluate_task(self, name: str) -> None:
        block = self._operation.config.tasks[name]
        found: list[TaskInstance] = []
        for key, names in task_instances(block, self._scope):
            task = task_instance(block, key, self._scope.bind(names), self._operation.config)
            if self._saved is not None:
                first, *outputs = (replace(side, spec=self._as_planned(side.spec)) for side in task.sides)
                task = replace(task, input=first, outputs=tuple(outputs))
            task = replace(
                task,
                dependencies=self._dependencies.of(f"task.{name}"),
                discovered=discovered_of(self._prior.tasks, task, self._options.discovered),
            )
            found.append(task)
        # All instances or none: after an error here the fold evaluates the block again, and reports it.
        self._instances[name] = found
        for task in found:
            self._tasks[str(task.address)] = task
            for side in task.sides:
                self._specs[side.spec.name] = side.spec

    def _as_planned(self, spec: ProviderSpec) -> ProviderSpec:
        return spec if self._saved is None else self._saved.configured(spec)

    def _prior_specs(self) -> list[Diagnostic]:
        """Add the providers of prior objects whose `provider` block was removed."""
        problems: list[Diagnostic] = []
        for address, item in self._prior.objects.items():
            name = item.provider
            if name in self._specs or not self._selection.has(address):
                continue
            block = block_of_text(name)
            evaluated = block in self._operation.needs and block in self._selection and self._dependencies.of(block)
            if evaluated and not is_kept(name):
                continue  # its configuration is evaluated later, when what it needs was planned
            prior = self._prior.providers.get(name)
            if prior is None:
                continue
            try:
                self._specs[name] = spec_from_state(name, prior, self._scope, self._operation.config)
            except DiagnosticsError as problem:
                problems.extend(replace(each, address=each.address or address) for each in problem.diagnostics)
        return problems

    def _request(self, specs: Iterable[ProviderSpec]) -> None:
        """Request a refresh of the recorded objects from each provider whose configuration is known.

        Objects of an older schema version are upgraded first, even without a refresh.
        """
        by_spec: dict[str, dict[str, ObjectState]] = {}
        for address, item in self._prior.objects.items():
            if item.status in ("ok", "tainted") and address not in self._requested and self._selection.has(address):
                by_spec.setdefault(item.provider, {})[address] = item
        key, encrypted = self._prior.key, self._operation.encrypted
        for spec in specs:
            objects = by_spec.get(spec.name)
            if objects and not spec.unknown:
                upgraded = upgrade_objects(spec, objects, self._pool, key, encrypted=encrypted)
                if upgraded:
                    self._prior.upgrade(upgraded)
                    objects = objects | upgraded
                if not self._options.refresh:
                    continue
                self._requested.update(objects)
                prior = {a: prior_for_provider(o.attributes, (), key) for a, o in objects.items()}
                self._refresh.ask(spec, objects, prior)
