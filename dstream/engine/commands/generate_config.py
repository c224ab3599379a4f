"""Generate configuration: blocks for undeclared imports, with the attributes that their providers return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from dstream.addresses import ResourceAddress, parse_address
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.commands.provider_inventory import unknown_scope
from dstream.engine.plan.errors import unknown_type
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, provider_spec, source_of
from dstream.engine.providers.type_rules import ResourceTypeRules, rules_of
from dstream.engine.refresh.import_blocks import ImportTarget, full_identity, import_targets
from dstream.engine.refresh.refresh import Refresh
from dstream.engine.setup.operation import Operation
from dstream.plugins import ProviderInfo
from dstream_state import ObjectState


class UndeclaredObject(Struct, frozen=True):
    """An object to declare: the attributes for its block, and the names of secrets to fill in."""

    address: ResourceAddress
    attributes: Mapping[str, Any]
    secrets: tuple[str, ...]


def undeclared_imports(operation: Operation, given: Mapping[str, Any]) -> list[ImportTarget]:
    """Return the undeclared imports, from blocks and from `given` (identities by address)."""
    named = import_targets(operation.config.imports, unknown_scope(operation))
    named |= {address: ImportTarget(address, identity) for address, identity in given.items()}
    found = []
    for each in named.values():
        address = parse_address(each.address)
        if isinstance(address, ResourceAddress) and (address.type, address.name) not in operation.config.resources:
            found.append(each)
    return found


def read_undeclared(operation: Operation, targets: Iterable[ImportTarget]) -> list[UndeclaredObject]:
    """Read objects through their providers; raise DiagnosticsError with all that cannot be read."""
    found: list[UndeclaredObject] = []
    problems: list[Diagnostic] = []
    with ProviderPool(operation) as pool:
        refresh = Refresh(pool, operation.refresh_progress)
        for each in targets:
            try:
                found.append(_read(operation, each, pool, refresh))
            except DiagnosticsError as problem:
                problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return found


def _read(operation: Operation, target: ImportTarget, pool: ProviderPool, refresh: Refresh) -> UndeclaredObject:
    address = parse_address(target.address)
    if not isinstance(address, ResourceAddress) or address.key is not None:
        detail = f"{target.address} is one instance of a block. Write the block, with its for_each or count, yourself."
        raise DiagnosticsError(error("Cannot generate configuration", detail, target.range))
    spec = _spec(operation, address.type.partition("_")[0])
    info = pool.installed(spec).info
    rules = rules_of(info, address.type)
    if rules is None:
        raise DiagnosticsError(unknown_type(address.type, info, target.range))
    item = ObjectState(spec.name, address.type, target.address, full_identity(target.identity, rules))
    real = refresh.read_for_import(spec, target.address, item)
    if not real.exists or real.attributes is None:
        reason = "; ".join(d.summary for d in real.diagnostics) or "its provider says that there is none like it"
        raise DiagnosticsError(
            error("Nothing to import", f"{item.identity}: {reason}.", target.range, address=target.address)
        )
    return _declared(address, real.attributes, rules, info)


def _declared(
    address: ResourceAddress, attributes: Mapping[str, Any], rules: ResourceTypeRules, info: ProviderInfo
) -> UndeclaredObject:
    secret = {str(path[0]) for path in rules.sensitive_paths}
    schema = info.resources[address.type].schema
    required, properties = set(schema.get("required", ())), schema.get("properties")
    shown = {
        name: value
        for name, value in attributes.items()
        if value is not None
        and name not in secret
        and (properties is None or name in properties)
        and (name in required or name not in rules.computed)
        and not (name in rules.defaults and rules.defaults[name] == value)
    }
    secrets = tuple(sorted(name for name in secret if name not in rules.computed and name in attributes))
    return UndeclaredObject(address, shown, secrets)


def _spec(operation: Operation, name: str) -> ProviderSpec:
    block = operation.config.providers.get(name)
    scope = operation.module.scope(resources=lambda _root: {})
    if block is not None:
        return provider_spec(block, scope, operation.config)
    from dstream.config import Body, Launch
    from dstream.config.syntax.source import Source

    nowhere = Source("", "")
    launch = Launch(None, None, None, nowhere.range(0, 0))
    source = source_of(launch, scope, operation.config, name)
    return ProviderSpec(f"provider.{name}", source, "resource", body=Body(nowhere, 0, 0, {}, []))
