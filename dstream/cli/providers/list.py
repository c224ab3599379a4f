"""`dstream providers list`."""

from __future__ import annotations

import json as json_module
from pathlib import Path

import click
from msgspec import to_builtins

from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say
from dstream.cli.render.table import table


@click.command("list", cls=Command)
@config_options
@flag("configured", help="Only providers that the configuration uses.")
@flag("locked", help="Only providers in the lock file.")
@flag("cached", help="Only providers in the cache.")
@flag("installed", help="Only programs installed on this machine.")
@flag("json", help="Print JSON.")
def command(
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    configured: bool,
    locked: bool,
    cached: bool,
    installed: bool,
    json: bool,
) -> None:
    """List providers with their kinds and versions: all of them, or those of the selected places.

    Variables and environment variables that providers need to run may be unset.
    """
    from dstream.cli.dependency_lock import lenient
    from dstream.engine.commands import provider_list

    root = Path(config) if Path(config).is_dir() else Path(config).parent
    every = not (configured or locked or cached or installed)
    has_config = not Path(config).is_dir() or any(not each.name.startswith(".") for each in root.glob("*.hcl"))
    found = []
    if configured or (every and has_config):
        found += provider_list.configured(lenient(config, var, var_file))
    if locked or every:
        found += provider_list.locked(root)
    if cached or every:
        found += provider_list.cached()
    if installed or every:
        found += provider_list.installed()
    if json:
        say(json_module.dumps([to_builtins(each) for each in found], ensure_ascii=False))
        return
    if not found:
        say("No providers found.")
        return
    rows = [("WHERE", "PROVIDER", "VERSION", "KINDS", "PROTOCOL", "SOURCE", "")]
    rows += [
        (
            each.place,
            each.name or "-",
            each.version or "-",
            ", ".join(each.kinds) or "-",
            str(each.protocol or "-"),
            each.source,
            each.note,
        )
        for each in found
    ]
    for line in table(rows):
        say(line)
