"""Inventory: finds and probes the providers that a configuration uses."""

from __future__ import annotations

from msgspec import Struct

from dstream.engine.evaluate.expansion import instances
from dstream.engine.evaluate.resource_values import ResourceValues
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, default_spec, provider_spec
from dstream.engine.providers.task_instance import task_instance
from dstream.engine.setup.block_graph import provider_of
from dstream.engine.setup.operation import Operation
from dstream.lang import Scope
from dstream.plugins import Binary, ProviderInfo, ProviderSource


class UsedProvider(Struct, frozen=True):
    """A provider, and the block of the configuration that uses it."""

    name: str
    role: str
    source: ProviderSource
    binary: Binary
    info: ProviderInfo


def unknown_resources(operation: Operation) -> ResourceValues:
    """Return unknown values for all resources."""
    resource_values = ResourceValues()
    for type_, name in operation.config.resources:
        resource_values.unknown(type_, name)
    return resource_values


def unknown_scope(operation: Operation) -> Scope:
    """Return a scope with unknown values for all resources."""
    return operation.module.scope(resources=unknown_resources(operation))


def provider_specs(operation: Operation) -> list[ProviderSpec]:
    """Return the specs of all providers of the configuration, with unknown values for resources."""
    config = operation.config
    scope = unknown_scope(operation)
    specs: dict[str, ProviderSpec] = {}
    for name, block in config.providers.items():
        specs[f"provider.{name}"] = provider_spec(block, scope, config)
    for resource in config.resources.values():
        name = provider_of(resource)
        specs.setdefault(f"provider.{name}", default_spec(name, resource, config))
    for task in config.tasks.values():
        for key, extra in instances(task.for_each, task.count, scope):
            for side in task_instance(task, key, scope.bind(extra), config).sides:
                specs[side.spec.name] = side.spec
    return list(specs.values())


def configured_providers(operation: Operation) -> list[UsedProvider]:
    """Find and probe the providers of the configuration; raise DiagnosticsError with all that failed."""
    pool = ProviderPool(operation)
    specs = provider_specs(operation)
    pool.prepare(specs)
    found = []
    for spec in specs:
        installed = pool.installed(spec)
        found.append(UsedProvider(spec.name, spec.role, spec.source, installed.binary, installed.info))
    return found
