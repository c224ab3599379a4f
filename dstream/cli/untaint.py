"""`dstream untaint`."""

from __future__ import annotations

import sys

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, lock_options, seconds
from dstream.cli.render.paint import paint_for, say


@click.command("untaint", cls=Command)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@config_options
@lock_options
def command(
    addresses: tuple[str, ...], config: str, var: tuple[str, ...], var_file: tuple[str, ...], lock_timeout: str
) -> None:
    """Clear the taint of objects, so that the next apply does not replace them."""
    from dstream.cli.render.progress import Lines
    from dstream.engine.commands.state_edit import untaint

    operation = open_for_state(config, var, var_file)
    timeout = seconds(lock_timeout, "-lock-timeout")
    for address in untaint(operation, addresses, timeout, Lines(paint_for(sys.stdout))):
        say(f"{address} is no longer tainted")
