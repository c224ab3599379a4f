"""`dstream import`."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, lock_options, option, seconds
from dstream.cli.render.paint import paint_for, say


@click.command("import", cls=Command)
@click.argument("address")
@click.argument("identity")
@config_options
@lock_options
@option("generate-config-out", metavar="FILE", help="Write a block to this file if ADDRESS is not declared.")
def command(
    address: str,
    identity: str,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    lock_timeout: str,
    generate_config_out: str | None,
) -> None:
    """Record an existing object in the state under ADDRESS, which the configuration declares.

    IDENTITY identifies the object to its provider: a name or id, or a JSON object if it has several parts.
    """
    operation = open_configured(config, var, var_file)
    from dstream.cli.render.progress import Lines
    from dstream.engine.commands.import_ import import_object

    given: object = identity
    if identity.lstrip().startswith("{"):
        try:
            given = json_module.loads(identity)
        except ValueError as problem:
            raise click.BadParameter(f"not JSON: {problem}", param_hint="IDENTITY") from None
    if generate_config_out is not None:
        from dstream.cli.generate_config import generate

        if generate(operation, generate_config_out, {address: given}, quiet=False):
            operation = open_configured(config, var, var_file)
    paint = paint_for(sys.stdout)
    import_object(operation, address, given, seconds(lock_timeout, "-lock-timeout"), Lines(paint))
    say(f"{paint(address, 'bold')}: imported. Run `dstream plan` to see differences from the configuration.")
