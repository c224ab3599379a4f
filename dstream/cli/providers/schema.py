"""`dstream providers schema`."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, option
from dstream.cli.render.paint import say

if TYPE_CHECKING:
    from dstream.plugins import Binary


@click.command("schema", cls=Command)
@click.argument("provider", required=False)
@config_options
@option("role", type=click.Choice(["input", "output", "resource"]), help="Which executable of PROVIDER is meant.")
def command(
    provider: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], role: str | None
) -> None:
    """Show, as JSON, what providers take: those of the configuration, or PROVIDER (a name or a path)."""
    from dstream.plugins import ProviderInfo, probe

    pairs: dict[str, tuple[Binary, ProviderInfo]] = {}
    if provider is None:
        from dstream.engine.inventory import configured_providers

        for used in configured_providers(opened(config, var, var_file)):
            pairs[used.name] = (used.binary, used.info)
    else:
        binary = named_binary(provider, role)
        pairs[provider] = (binary, probe(binary))
    shown = {
        name: {
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
        for name, (_, info) in pairs.items()
    }
    say(json_module.dumps(shown, ensure_ascii=False, indent=2, default=str))


def named_binary(provider: str, role: str | None) -> Binary:
    """Return the program that a path or a name on the command line means."""
    from pathlib import Path

    from dstream.diagnostics import DiagnosticsError
    from dstream.plugins import ProviderSource, resolve

    if "/" in provider or Path(provider).is_file():
        return resolve(ProviderSource("path", provider), Path.cwd(), "input")
    problem: DiagnosticsError | None = None
    for candidate in (role,) if role else ("input", "output", "resource"):
        try:
            return resolve(ProviderSource("name", provider), Path.cwd(), candidate)  # type: ignore[arg-type]  # one of the choices
        except DiagnosticsError as failed:
            problem = problem or failed
    raise problem or AssertionError("at least one role is tried")
