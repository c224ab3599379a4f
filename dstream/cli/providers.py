"""`dstream providers list|schema|test`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, flag, option
from dstream.cli.render.paint import paint_for, say

if TYPE_CHECKING:
    from dstream.plugins import Binary


@click.group("providers")
def command() -> None:
    """List, inspect and test providers."""


@command.command("list", cls=Command)
@config_options
@flag("json", help="As JSON.")
def list_(config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the providers that the configuration uses."""
    from dstream.engine.inventory import configured_providers

    found = configured_providers(opened(config, var, var_file))
    if json:
        rows = [
            {
                "used_by": used.name,
                "role": used.role,
                "source": {"kind": used.source.kind, "value": used.source.value},
                "name": used.info.name,
                "version": used.info.version,
                "protocol": used.info.protocol,
                "digest": used.binary.digest,
            }
            for used in found
        ]
        say(json_module.dumps(rows, ensure_ascii=False))
        return
    if not found:
        say("The configuration uses no providers.")
        return
    rows_text = [("USED BY", "PROVIDER", "VERSION", "PROTOCOL", "SOURCE")]
    rows_text += [
        (used.name, used.info.name, used.info.version or "-", str(used.info.protocol), used.source.value)
        for used in found
    ]
    widths = [max(len(row[column]) for row in rows_text) for column in range(5)]
    for row in rows_text:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command("schema", cls=Command)
@click.argument("provider", required=False)
@config_options
@option("role", type=click.Choice(["input", "output", "resource"]), help="Which executable of PROVIDER is meant.")
def schema(
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
        binary = _binary(provider, role)
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


def _binary(provider: str, role: str | None) -> Binary:
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


@command.command("test", cls=Command)
@click.argument("provider", metavar="PATH-OR-NAME")
@option("role", type=click.Choice(["input", "output", "resource"]), help="Which executable of a name is meant.")
@option("provider-config", metavar="JSON", default="{}", help="The configuration to test with, a JSON object.")
@flag("json", help="As JSON.")
def test(provider: str, role: str | None, provider_config: str, json: bool) -> int:
    """Hold a provider against the rules of the protocol. The configuration should point at nothing that matters."""
    from dstream.plugins.conformance import run_kit

    try:
        settings = json_module.loads(provider_config)
    except ValueError as problem:
        raise click.BadParameter(f"not JSON: {problem}", param_hint="-provider-config") from None
    if not isinstance(settings, dict):
        raise click.BadParameter("it is a JSON object", param_hint="-provider-config")
    results = run_kit(_binary(provider, role), settings)
    failed = [result for result in results if result.outcome == "failed"]
    if json:
        say(json_module.dumps([result.to_json() for result in results], ensure_ascii=False))
        return 1 if failed else 0
    paint = paint_for(sys.stdout)
    colours = {"passed": "green", "failed": "red", "skipped": "dim"}
    for result in results:
        say(f"{paint(result.outcome, colours[result.outcome]):<7}  {result.rule}  {result.title}")
        if result.outcome == "failed" and result.detail:
            for line in result.detail.splitlines():
                say(f"           {line}")
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in colours}
    say(f"\n{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped.")
    return 1 if failed else 0
