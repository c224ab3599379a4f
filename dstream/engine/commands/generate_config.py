"""Generating configuration: blocks for objects that are imported and declared nowhere, as their providers read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dstream.addresses import ResourceAddress, parse_address
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.commands.provider_inventory import unknown_scope
from dstream.engine.plan.errors import unknown_type
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, provider_spec, source_of
from dstream.engine.providers.type_rules import Rules, rules_of
from dstream.engine.refresh.import_blocks import Adoption, adoptions, full_identity
from dstream.engine.refresh.refresh import Refresh
from dstream.engine.setup.operation import Operation
from dstream.plugins import ProviderInfo
from dstream_state import ObjectState


@dataclass(frozen=True, slots=True)
class Found:
    """An object to declare: what its block has to say, and which secrets nobody tells."""

    address: ResourceAddress
    attributes: Mapping[str, Any]
    secrets: tuple[str, ...]


def undeclared(operation: Operation, given: Mapping[str, Any]) -> list[Adoption]:
    """Return what is to be imported, by blocks and as `given` (identities by address), and is declared nowhere."""
    named = adoptions(operation.config.imports, unknown_scope(operation))
    named |= {address: Adoption(address, identity) for address, identity in given.items()}
    found = []
    for each in named.values():
        address = parse_address(each.address)
        if isinstance(address, ResourceAddress) and (address.type, address.name) not in operation.config.resources:
            found.append(each)
    return found


def read_undeclared(operation: Operation, wanted: Iterable[Adoption]) -> list[Found]:
    """Read objects as their providers have them; raise DiagnosticsError with all that cannot be read."""
    found: list[Found] = []
    problems: list[Diagnostic] = []
    with ProviderPool(operation) as pool:
        refresh = Refresh(pool, operation.asked)
        for each in wanted:
            try:
                found.append(_read(operation, each, pool, refresh))
            except DiagnosticsError as problem:
                problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return found


def _read(operation: Operation, wanted: Adoption, pool: ProviderPool, refresh: Refresh) -> Found:
    address = parse_address(wanted.address)
    if not isinstance(address, ResourceAddress) or address.key is not None:
        detail = f"{wanted.address} is one instance of a block. Write the block, with its for_each or count, yourself."
        raise DiagnosticsError(error("Cannot generate configuration", detail, wanted.range))
    spec = _spec(operation, address.type.partition("_")[0])
    info = pool.installed(spec).info
    rules = rules_of(info, address.type)
    if rules is None:
        raise DiagnosticsError(unknown_type(address.type, info, wanted.range))
    item = ObjectState(spec.name, address.type, wanted.address, full_identity(wanted.identity, rules))
    real = refresh.imported(spec, wanted.address, item)
    if not real.exists or real.attributes is None:
        reason = "; ".join(d.summary for d in real.diagnostics) or "its provider says that there is none like it"
        raise DiagnosticsError(
            error("Nothing to import", f"{item.identity}: {reason}.", wanted.range, address=wanted.address)
        )
    return _declared(address, real.attributes, rules, info)


def _declared(address: ResourceAddress, attributes: Mapping[str, Any], rules: Rules, info: ProviderInfo) -> Found:
    secret = {str(path[0]) for path in rules.sensitive_paths}
    schema = info.resources[address.type].schema
    required, properties = set(schema.get("required", ())), schema.get("properties")
    said = {
        name: value
        for name, value in attributes.items()
        if value is not None
        and name not in secret
        and (properties is None or name in properties)
        and (name in required or name not in rules.computed)
        and not (name in rules.defaults and rules.defaults[name] == value)
    }
    told = tuple(sorted(name for name in secret if name not in rules.computed and name in attributes))
    return Found(address, said, told)


def _spec(operation: Operation, name: str) -> ProviderSpec:
    block = operation.config.providers.get(name)
    scope = operation.module.scope(resources=lambda root: {})
    if block is not None:
        return provider_spec(block, scope, operation.config)
    from dstream.config import Body, Launch
    from dstream.config.syntax.source import Source

    nowhere = Source("", "")
    launch = Launch(None, None, None, nowhere.range(0, 0))
    source = source_of(launch, scope, operation.config, name)
    return ProviderSpec(f"provider.{name}", source, "resource", body=Body(nowhere, 0, 0, {}, []))
