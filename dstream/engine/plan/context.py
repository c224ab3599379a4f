"""Context: the inputs of one plan, opened once and passed to every stage."""

from __future__ import annotations

from msgspec import Struct

from dstream.config import Config
from dstream.engine.evaluate.resource_values import ResourceValues
from dstream.engine.evaluate.targeting import Selection, read_address
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.prefetch import Prefetch
from dstream.engine.plan.recorded_answers import RecordedAnswers
from dstream.engine.plan.schemas import Schemas
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.refresh.import_blocks import ImportTarget, ImportTargets
from dstream.engine.refresh.prior_state import PriorState
from dstream.engine.setup.block_graph import ObjectDependencies
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream_state import Snapshot


class PlanContext(Struct, frozen=True):
    """The inputs that every stage of planning reads."""

    operation: Operation
    pool: ProviderPool
    options: PlanOptions
    prior: PriorState
    selection: Selection
    dependencies: ObjectDependencies
    imports: ImportTargets
    schemas: Schemas
    prefetch: Prefetch
    values: ResourceValues
    """The values of resources; the fold adds those of each planned block."""
    scope: Scope
    """The scope of expressions, with `values`."""
    replaced: frozenset[str]
    """Addresses of objects to replace even if nothing differs."""
    create_first: frozenset[str]
    """Blocks whose replacements create the new object first: by their own lifecycle, or because a dependent does so,
    which requires it of its dependencies."""
    saved: RecordedAnswers | None
    """The recorded answers, if a saved plan is made again."""

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.operation.config

    @property
    def key(self) -> bytes:
        """The key of the state's fingerprints."""
        return self.prior.key

    def import_target(self, block: str, address: str) -> ImportTarget | None:
        """Return the import for an address; raise DiagnosticsError if the block's imports are invalid."""
        return self.imports.of(block).get(address)


def open_context(
    operation: Operation,
    snapshot: Snapshot,
    pool: ProviderPool,
    options: PlanOptions,
    saved: RecordedAnswers | None,
) -> PlanContext:
    """Open the context of a plan; raise DiagnosticsError if an address of the options does not exist."""
    values = ResourceValues(operation.secrets)
    scope = operation.module.scope(resources=values, planning=True)
    prior = PriorState(snapshot, operation.config, moves=not options.refresh_only)
    replaced = frozenset(str(read_address(text)) for text in options.replace)
    selection = Selection(options.targets, operation, prior.snapshot, destroy=options.destroy, exclude=options.exclude)
    dependencies = ObjectDependencies(operation.needs)
    prefetch = Prefetch(operation, prior, pool, scope, selection, dependencies, options, saved)
    return PlanContext(
        operation=operation,
        pool=pool,
        options=options,
        prior=prior,
        selection=selection,
        dependencies=dependencies,
        imports=ImportTargets(operation.config.imports, options.imports, scope),
        schemas=Schemas(pool, encrypted=operation.encrypted),
        prefetch=prefetch,
        values=values,
        scope=scope,
        replaced=replaced,
        create_first=_create_first(operation),
        saved=saved,
    )


def _create_first(operation: Operation) -> frozenset[str]:
    config = operation.config
    lifecycles = {f"{type_}.{name}": block.lifecycle for (type_, name), block in config.resources.items()}
    lifecycles |= {f"task.{name}": block.lifecycle for name, block in config.tasks.items()}
    blocks = [name for name, lifecycle in lifecycles.items() if lifecycle.create_before_destroy]
    return frozenset(operation.graph.closure(blocks)) if blocks else frozenset()
