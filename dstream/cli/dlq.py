"""`dstream dlq list|show|replay`."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator

import click

from dstream.cli.open_operation import open_configured, open_for_state
from dstream.cli.options import Command, Group, config_options, flag
from dstream.cli.render.paint import say
from dstream.cli.render.terminal import put_exact
from dstream.engine.setup.operation import Operation
from dstream_state import DeadLetter


@click.group("dlq", cls=Group)
def command() -> None:
    """List, show or replay dead letters: records that an output rejected."""


def _letters(operation: Operation, task: str) -> Iterator[tuple[str, DeadLetter]]:
    from dstream.engine.runs.flows import flow_names

    for name in flow_names(operation, task):
        letters = operation.backend.task(name).dead_letters
        for key in letters.list():
            yield name, letters.read(key)


@command.command("list", cls=Command)
@click.argument("task")
@config_options
@flag("json", help="Print JSON.")
def list_(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """List the dead letters of a task with key, time and reason."""
    found = list(_letters(open_for_state(config, var, var_file), task))
    if json:
        rows = [{"flow": flow, "key": item.key, "at": item.at, "reason": item.reason} for flow, item in found]
        say(json_module.dumps(rows, ensure_ascii=False))
        return
    if not found:
        say("There are no dead letters.")
    for _, item in found:
        say(f"{item.key[:12]}  {item.at}  {item.reason}")


@command.command("show", cls=Command)
@click.argument("task")
@click.argument("key")
@config_options
def show(task: str, key: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> None:
    """Show one dead letter as the input wrote it. KEY may be a prefix, as in `dlq list`."""
    found = [item for _, item in _letters(open_for_state(config, var, var_file), task) if item.key.startswith(key)]
    if len(found) != 1:
        how_many = "no dead letter" if not found else f"{len(found)} dead letters"
        raise click.ClickException(f"There is {how_many} whose key starts with {key!r}.")
    put_exact(found[0].envelope.decode("utf-8", "replace").rstrip("\n") + "\n")


@command.command("replay", cls=Command)
@click.argument("task")
@click.argument("keys", nargs=-1)
@config_options
def replay(task: str, keys: tuple[str, ...], config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> int:
    """Deliver dead letters again: all of them, or those with the given keys. Delivered ones are deleted."""
    operation = open_configured(config, var, var_file)
    from dstream.engine.runs.dead_letter_replay import replay as replay_letters

    outcome = replay_letters(operation, task, keys)
    say(f"{outcome.delivered} delivered, {outcome.refused} rejected again.")
    return 1 if outcome.refused else 0
