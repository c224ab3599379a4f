"""`dstream help`."""

from __future__ import annotations

import click

from dstream.cli.options import Command


@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Show the help of a command, such as `dstream help plan` or `dstream help state mv`."""
    root = ctx.find_root()
    result: int | None = root.command.main([*words, "--help"], prog_name=root.info_name, standalone_mode=False)
    return result or 0
