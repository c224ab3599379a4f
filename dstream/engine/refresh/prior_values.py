"""Prior values: the recorded values of resources, for `run` and `console`, which plan nothing.

Only the schema of the provider has the attributes that are not set. The provider is started only if an expression needs
them: most references of a running task are to recorded attributes, and a machine that runs tasks may not have the
providers of resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from dstream.addresses import Key, ResourceAddress, parse_address
from dstream.config import ResourceBlock, TaskBlock
from dstream.config.syntax.tree import Node
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.redaction import reveal
from dstream.engine.evaluate.resource_values import ResourceValues, mark_sensitive
from dstream.engine.providers.implied_type import NO_IMPLIED_TYPE, ImpliedType
from dstream.engine.providers.offline_schemas import OfflineSchemas
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, source_from_state
from dstream.engine.providers.type_rules import rules_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Unknown, references
from dstream.lang.markers import expression_text
from dstream.plugins import ProviderInfo
from dstream_state import ObjectState, Snapshot


class PriorValues(ResourceValues):
    """The recorded resources of a configuration. Resources that were never applied are unknown."""

    def __init__(
        self, snapshot: Snapshot, operation: Operation, pool: ProviderPool, read: Iterable[Node] | None = None
    ) -> None:
        """`read` has the expressions that will be evaluated, None if they are not known in advance."""
        super().__init__()
        self.problems: list[Diagnostic] = []
        """Why schemas of providers are not available, so that attributes are missing."""
        self._snapshot, self._operation, self._pool = snapshot, operation, pool
        self._schemas = OfflineSchemas(operation, start=False)
        self._implied_types: dict[tuple[str, str], ImpliedType] = {}
        self._read = None if read is None else _paths(read)
        blocks = operation.config.resources
        for (type_, name), block in blocks.items():
            self.declare(type_, name, keyed=block.for_each is not None, counted=block.count is not None)
        for text, item in sorted(snapshot.resources.items()):
            address = None if text.startswith("task.") else parse_address(text)
            if isinstance(address, ResourceAddress) and (address.type, address.name) in blocks:
                block = blocks[address.type, address.name]
                make = partial(self._value, text, item, block, address.key)
                self.set(address.type, address.name, address.key, make)

    def _value(self, address: str, item: ObjectState, block: ResourceBlock, key: Key) -> Any:
        clear = reveal(item.attributes)
        if self._reads_more(block, key, clear):
            clear = self._implied_type(item).complete(clear)
        return mark_sensitive(clear, item.sensitive, address)

    def _reads_more(self, block: ResourceBlock, key: Key, attributes: Mapping[str, Any]) -> bool:
        """Return whether an expression may refer to an unrecorded attribute of an object."""
        if self._read is None:
            return True
        keyed = block.for_each is not None or block.count is not None
        for path in self._read.get((block.type, block.name), ()):
            if not keyed:
                matches, rest = True, path
            else:
                matches, rest = not path or path[0] == key, path[1:]
            if matches and _leads_out(attributes, rest):
                return True
        return False

    def _implied_type(self, item: ObjectState) -> ImpliedType:
        known = self._implied_types.get((item.provider, item.type))
        if known is None:
            known = NO_IMPLIED_TYPE
            try:
                info = self._info(item.provider)
                rules = rules_of(info, item.type) if info is not None else None
                known = rules.implied_type if rules is not None else NO_IMPLIED_TYPE
            except DiagnosticsError as problem:
                self.problems.extend(problem.diagnostics)
            self._implied_types[item.provider, item.type] = known
        return known

    def _info(self, name: str) -> ProviderInfo | None:
        """Return the probe answer of a recorded provider: from the lock file, the cache, or by starting it."""
        recorded = self._snapshot.providers.get(name)
        if recorded is None:
            return None
        # Type schemas are read without secrets.
        config = {
            argument: value if expression_text(value) is None else Unknown()
            for argument, value in recorded.config.items()
        }
        role: Any = recorded.role  # written by `ProviderSpec.to_state`
        spec = ProviderSpec(name, source_from_state(recorded, self._operation.config), role, config)
        known = self._schemas.info(spec)
        return self._pool.installed(spec).info if isinstance(known, Diagnostic) else known


def expressions_of(operation: Operation, task: TaskBlock) -> Iterable[Node]:
    """Yield the expressions that the configuration of a task may depend on."""
    for local in operation.config.locals.values():
        yield local.expr
    sides = (task.input, *task.outputs)
    parts = [task.for_each, task.count, *(part for side in sides for part in (side.launch.source, side.launch.env))]
    yield from (part for part in parts if part is not None)
    for side in sides:
        yield side.config
        if side.launch.container is not None:
            yield side.launch.container


Paths = dict[tuple[str, str], list[tuple[str | int, ...]]]


def _paths(read: Iterable[Node]) -> Paths:
    """Return the paths that expressions refer to in each resource block, up to the first computed key."""
    found: Paths = {}
    for node in read:
        for reference in references(node):
            if reference.path and isinstance(reference.path[0], str):
                found.setdefault((reference.root, reference.path[0]), []).append(reference.path[1:])
    return found


def _leads_out(value: Any, path: Iterable[str | int]) -> bool:
    """Return whether a path leads to a missing attribute, or to an object that may lack attributes."""
    for step in path:
        if isinstance(value, Mapping):
            if step not in value:
                return True
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return False
    return isinstance(value, Mapping) or (isinstance(value, list) and any(_leads_out(item, ()) for item in value))
