"""`dstream graph`."""

from __future__ import annotations

import json as json_module
from itertools import pairwise

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say, say_text


@click.command("graph", cls=Command)
@config_options
@flag("full", help="Include transitive dependencies.")
@flag("json", help="Print JSON with all dependencies instead of DOT.")
def command(config: str, var: tuple[str, ...], var_file: tuple[str, ...], full: bool, json: bool) -> None:
    """Print the dependency graph of the configuration in the DOT language. Arrows point to dependencies.

    Leaves out transitive dependencies. The longest chain, which limits how much of an apply can run in parallel, is
    bold.
    """
    graph = open_for_state(config, var, var_file).graph
    if json:
        say(json_module.dumps({name: graph.needs(name) for name in graph}, ensure_ascii=False))
        return
    from dstream.graph.analysis import longest_chain, reduced

    needs = {name: graph.needs(name) for name in graph} if full else reduced(graph)
    chain = set(pairwise(longest_chain(graph)))
    say_text('digraph {\n  rankdir = "RL"')
    for name, needed in needs.items():
        say(f"  {json_module.dumps(name)}")
        for each in needed:
            style = " [style = bold]" if (name, each) in chain else ""
            say(f"  {json_module.dumps(name)} -> {json_module.dumps(each)}{style}")
    say("}")
