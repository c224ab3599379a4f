"""Sources: the providers of a plan, found, started and asked about what the state has of them.

Everything that can wait for a process is started before the pass over the blocks begins; a provider whose
configuration needs a resource joins when its turn comes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.expansion import instances
from dstream.engine.evaluate.redaction import prior_for_provider
from dstream.engine.evaluate.targeting import Selection, block_of_text
from dstream.engine.plan.recorded_answers import RecordedAnswers, SavedRefresh, SavedTaskRequirements
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, default_spec, provider_spec, spec_from_state
from dstream.engine.providers.task_requirements import (
    Streams,
    TaskInstance,
    TaskRequirements,
    discovered_of,
    task_instance,
)
from dstream.engine.refresh.refresh import Refresh
from dstream.engine.refresh.schema_upgrade import upgrade_objects
from dstream.engine.setup.block_graph import provider_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream_state import ObjectState, Snapshot

Needs = Callable[[str], tuple[str, ...]]
"""The resource blocks and tasks that a block needs."""


class Prefetch:
    """The provider specs of an operation by name, its tasks by address, and what was asked."""

    def __init__(
        self,
        operation: Operation,
        snapshot: Snapshot,
        pool: ProviderPool,
        scope: Scope,
        selected: Selection,
        needs: Needs,
        *,
        asks: bool,
        derives: bool,
        discovered: Mapping[str, Streams],
        on_upgraded: Callable[[dict[str, ObjectState]], None],
        saved_answers: RecordedAnswers | None = None,
    ) -> None:
        """`asks`: recorded objects are asked about; `derives`: tasks are asked what they need.

        `discovered`: streams that were met just now, by the name of the flow, beside those of the state. `on_upgraded`
        takes prior objects that were upgraded to the present version of their schema. `saved_answers` has the
        answers of a saved plan: nothing is asked that it has.
        """
        self._recalled = saved_answers
        self._on_upgraded = on_upgraded
        self.specs: dict[str, ProviderSpec] = {}
        self.tasks: dict[str, TaskInstance] = {}
        self.asked: set[str] = set()
        self.upgraded: dict[str, ObjectState] = {}
        """Recorded objects in the present version of their schema, where that is another one."""
        self.refresh = Refresh(pool, operation.refresh_progress)

        def more(task: str, flow: str) -> Streams:
            return (*discovered_of(snapshot, task, flow), *discovered.get(flow, ()))

        self.derivations = TaskRequirements(pool, lambda task: needs(str(task.address.block)), more)
        if saved_answers is not None:
            self.derivations = SavedTaskRequirements(pool, lambda task: needs(str(task.address.block)), more)
            self.derivations.saved = saved_answers.derivations
            self.refresh = SavedRefresh(pool, operation.refresh_progress, saved_answers.refreshed_objects)
        self._operation, self._config = operation, operation.config
        self._snapshot, self._pool, self._scope = snapshot, pool, scope
        self._selected, self._needs = selected, needs
        self._asks, self._derives = asks, derives

    def start_early(self) -> list[Diagnostic]:
        """Find all providers whose configuration needs no resource, ask about recorded objects, derive tasks.

        Return what is wrong with recorded providers; raise DiagnosticsError where a provider cannot be found. What is
        wrong with a block is left for its turn, so that nothing is reported twice.
        """
        for name in self._operation.needs:
            kind, _, rest = name.partition(".")
            if kind in ("provider", "task") and name in self._selected and not self._needs(name):
                with contextlib.suppress(DiagnosticsError):
                    (self._evaluate_provider if kind == "provider" else self._evaluate_task)(rest)
        for (type_, name), block in self._config.resources.items():
            desired = provider_of(block)
            if f"{type_}.{name}" in self._selected and desired not in self._config.providers:
                self.specs.setdefault(f"provider.{desired}", default_spec(desired, block, self._config))
        problems = self._recorded_specs()
        try:
            self._pool.prepare(self.specs.values())
        except DiagnosticsError as problem:
            raise DiagnosticsError([*problems, *problem.diagnostics]) from None
        if self._derives:
            for task in self.tasks.values():
                if not any(side.spec.unknown for side in task.sides):
                    self.derivations.start(task)
        self._ask(self.specs.values())
        return problems

    def add_provider(self, name: str) -> None:
        """Evaluate a `provider` block whose turn it is, unless that was done early."""
        if f"provider.{name}" not in self.specs:
            self._evaluate_provider(name)
            self._join([self.specs[f"provider.{name}"]])

    def add_recorded(self, name: str) -> None:
        """Take a provider as the state recorded it, if it did; raise DiagnosticsError where that has a lost secret."""
        recorded = self._snapshot.providers.get(f"provider.{name}")
        if recorded is not None:
            spec = spec_from_state(f"provider.{name}", recorded, self._scope, self._config)
            self.specs[spec.name] = spec
            self._join([spec])

    def add_task(self, name: str) -> list[TaskInstance]:
        """Evaluate a task whose turn it is, unless that was done early; return its instances."""
        if not any(task.address.name == name for task in self.tasks.values()):
            self._evaluate_task(name)
            self._join(side.spec for task in self.tasks.values() if task.address.name == name for side in task.sides)
        return [task for task in self.tasks.values() if task.address.name == name]

    def ask_absent(self, spec: ProviderSpec, objects: dict[str, ObjectState]) -> None:
        """Ask about objects that should not exist yet, by the identity that they will have."""
        if self._asks and objects:
            self.asked.update(objects)
            self.refresh.ask(spec, objects, dict.fromkeys(objects))

    def _join(self, specs: Iterable[ProviderSpec]) -> None:
        found = list(specs)
        self._pool.prepare(found)
        self._ask(found)

    def _evaluate_provider(self, name: str) -> None:
        spec = self._as_planned(provider_spec(self._config.providers[name], self._scope, self._config))
        self.specs[spec.name] = spec

    def _evaluate_task(self, name: str) -> None:
        block = self._config.tasks[name]
        for key, names in instances(block.for_each, block.count, self._scope):
            task = task_instance(block, key, self._scope.bind(names), self._config)
            if self._recalled is not None:
                task.input, *outputs = (replace(side, spec=self._as_planned(side.spec)) for side in task.sides)
                task.outputs = tuple(outputs)
            self.tasks[str(task.address)] = task
            for side in task.sides:
                self.specs[side.spec.name] = side.spec

    def _as_planned(self, spec: ProviderSpec) -> ProviderSpec:
        return spec if self._recalled is None else self._recalled.configured(spec)

    def _recorded_specs(self) -> list[Diagnostic]:
        """Add the providers of recorded objects whose block is gone."""
        problems: list[Diagnostic] = []
        for address, item in self._snapshot.resources.items():
            name = item.provider
            if name in self.specs or not self._selected.has(address):
                continue
            block = block_of_text(name)
            if block in self._operation.needs and block in self._selected and self._needs(block):
                continue  # its configuration is evaluated later, when what it needs was planned
            recorded = self._snapshot.providers.get(name)
            if recorded is None:
                continue
            try:
                self.specs[name] = spec_from_state(name, recorded, self._scope, self._config)
            except DiagnosticsError as problem:
                problems.extend(replace(each, address=each.address or address) for each in problem.diagnostics)
        return problems

    def _ask(self, specs: Iterable[ProviderSpec]) -> None:
        """Ask each provider whose configuration is known about the objects that the state has of it.

        Those of an older schema version are raised first, also where nothing else is asked.
        """
        by_spec: dict[str, dict[str, ObjectState]] = {}
        for address, item in self._snapshot.resources.items():
            if item.status in ("ok", "tainted") and address not in self.asked and self._selected.has(address):
                by_spec.setdefault(item.provider, {})[address] = item
        for spec in specs:
            objects = by_spec.get(spec.name)
            if objects and not spec.unknown:
                raised = upgrade_objects(
                    spec, objects, self._pool, self._snapshot.hmac_key, encrypted=self._operation.encrypted
                )
                if raised:
                    self.upgraded.update(raised)
                    self._on_upgraded(raised)
                    objects = objects | raised
                if not self._asks:
                    continue
                self.asked.update(objects)
                prior = {a: prior_for_provider(o.attributes, (), self._snapshot.hmac_key) for a, o in objects.items()}
                self.refresh.ask(spec, objects, prior)
