"""`dstream graph`."""

from __future__ import annotations

import json as json_module

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say


@click.command("graph", cls=Command)
@config_options
@flag("json", help="As JSON instead of DOT.")
def command(config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """Write the graph of the configuration's blocks in the DOT language; an arrow leads to what a block needs."""
    graph = opened(config, var, var_file).graph
    if json:
        say(json_module.dumps({name: graph.needs(name) for name in graph}, ensure_ascii=False))
        return
    say('digraph {\n  rankdir = "RL"')
    for name in graph:
        say(f"  {json_module.dumps(name)}")
        for needed in graph.needs(name):
            say(f"  {json_module.dumps(name)} -> {json_module.dumps(needed)}")
    say("}")
