"""`dstream version`."""

from __future__ import annotations

import platform
from json import dumps

import click

from dstream import __version__
from dstream.cli.options import Command, flag
from dstream.cli.render.paint import say, say_text


@click.command("version", cls=Command)
@flag("json", help="Print JSON.")
def command(json: bool) -> None:
    """Show the version of dstream and of Python."""
    if json:
        say(dumps({"dstream_version": __version__, "python_version": platform.python_version()}))
        return
    say_text(f"dstream {__version__}\non Python {platform.python_version()}, {platform.system()} {platform.machine()}")
