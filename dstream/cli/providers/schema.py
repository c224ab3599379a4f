"""`dstream providers schema`."""

from __future__ import annotations

import contextlib
import json as json_module
import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, json_object, option
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dstream.plugins import Binary, ProviderInfo


@click.command("schema", cls=Command)
@click.argument("provider", required=False)
@click.argument("types", metavar="[TYPE]...", nargs=-1)
@config_options
@option(
    "role", type=click.Choice(["input", "output", "resource"]), help="Role of PROVIDER, if it has several executables."
)
@option("provider-config", metavar="JSON", help="Configuration of PROVIDER, if its types depend on it.")
def command(
    provider: str | None,
    types: tuple[str, ...],
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    role: str | None,
    provider_config: str | None,
) -> None:
    """Print the schemas of providers as JSON: those of the configuration, or of PROVIDER.

    PROVIDER is the label of a provider block, a name or a path. With TYPE, only these resource types are shown.
    Providers with many types, such as Pulumi's, describe a type only when it is named.
    """
    from dstream.plugins import probe
    from dstream.plugins.type_schemas import DESCRIBES

    infos: dict[str, ProviderInfo] = {}
    if provider is None:
        from dstream.engine.commands.provider_inventory import configured_providers

        for used in configured_providers(open_configured(config, var, var_file)):
            infos[used.name] = used.info
    else:
        given = None
        if provider_config is not None:
            given = json_object(provider_config, "it", hint="-provider-config")
        found = _configured(provider, config, var, var_file) if given is None and role is None else None
        if found is None:
            binary = named_binary(provider, role)
            found = probe(binary)
            if DESCRIBES in found.capabilities:
                found = _describing(binary, found, given or {})
        infos[provider] = _only(provider, found, types) if types else found
    say_text(
        json_module.dumps(
            {name: _shown(info) for name, info in infos.items()}, ensure_ascii=False, indent=2, default=str
        )
    )
    for name, info in infos.items():
        if DESCRIBES in info.capabilities and not types:
            label = name.removeprefix("provider.")
            say(f"{name} describes its types on demand: dstream providers schema {label} TYPE", stream=sys.stderr)


def _configured(name: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> ProviderInfo | None:
    """Return the provider that a configuration has under a label, None where there is neither."""
    from dstream.cli.dependency_lock import lenient
    from dstream.diagnostics import DiagnosticsError
    from dstream.engine.commands.provider_inventory import provider_specs
    from dstream.engine.providers.pool import ProviderPool

    with contextlib.suppress(DiagnosticsError):
        operation = lenient(config, var, var_file)
        specs = [spec for spec in provider_specs(operation) if spec.name == f"provider.{name}"]
        if specs:
            return ProviderPool(operation).installed(specs[0]).info
    return None


def _describing(binary: Binary, info: ProviderInfo, given: Mapping[str, Any]) -> ProviderInfo:
    from dstream.plugins.type_schemas import DescribedTypes

    return replace(info, resources=DescribedTypes(binary, info.resources, given))


def _only(provider: str, info: ProviderInfo, types: tuple[str, ...]) -> ProviderInfo:
    """Return a provider with some of its types alone; raise DiagnosticsError where it has one of them not."""
    import difflib

    from dstream.diagnostics import DiagnosticsError, error
    from dstream.plugins.type_schemas import fetch

    fetch(info.resources, types)
    for missing in (each for each in types if each not in info.resources):
        near = difflib.get_close_matches(missing, list(info.resources), n=3)
        known = f"It has: {', '.join(sorted(info.resources))}." if info.resources else "It does not list its types."
        hint = f"Did you mean {' or '.join(near)}?" if near else known
        raise DiagnosticsError(error("Unknown resource type", f"{provider} has no {missing}. {hint}"))
    return replace(info, resources={each: info.resources[each] for each in types})


def _shown(info: ProviderInfo) -> dict[str, Any]:
    return {
        "provider": {"name": info.name, "version": info.version},
        "protocol": info.protocol,
        "roles": sorted(info.roles),
        "capabilities": sorted(info.capabilities),
        "config": info.config_schema,
        "resources": {
            type_: {
                "version": item.version,
                "schema": item.schema,
                "computed": sorted(item.computed),
                "replace": sorted(item.replace),
                "sensitive": dict(item.sensitive),
                "identity": item.identity,
                "holds_data": item.holds_data,
            }
            for type_, item in sorted(info.resources.items())
        },
    }


_EXECUTABLES = {"dstream-in-": "input", "dstream-out-": "output", "dstream-resource-": "resource"}
"""The role of an executable by the prefix of its name."""


def named_binary(provider: str, role: str | None) -> Binary:
    """Return the program that a path, a name, or the name of an executable on the command line means."""
    from pathlib import Path

    from dstream.diagnostics import DiagnosticsError
    from dstream.plugins import ProviderSource, resolve

    if "/" in provider or Path(provider).is_file():
        return resolve(ProviderSource("path", provider), Path.cwd(), "input")
    problem: DiagnosticsError | None = None
    name = provider
    for prefix, executable_role in _EXECUTABLES.items():
        if provider.startswith(prefix):
            name, role = provider.removeprefix(prefix), role or executable_role
    for candidate in (role,) if role else ("input", "output", "resource"):
        try:
            return resolve(ProviderSource("name", name), Path.cwd(), candidate)  # type: ignore[arg-type]  # one of the choices
        except DiagnosticsError as failed:
            problem = problem or failed
    raise problem or AssertionError("at least one role is tried")
