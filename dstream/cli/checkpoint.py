"""`dstream checkpoint show|set|reset`."""

from __future__ import annotations

import json as json_module

import click

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, flag, json_object
from dstream.cli.render.paint import say


@click.group("checkpoint")
def command() -> None:
    """Show, set or reset the position at which a task resumes."""


@command.command("show", cls=Command)
@click.argument("task")
@config_options
@flag("json", help="Print JSON.")
def show(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """Show the last stored checkpoint of each flow of a task."""
    from dstream.engine.runs.flows import flow_names

    operation = open_configured(config, var, var_file)
    found = {}
    for name in flow_names(operation, task):
        view = operation.backend.task(name).read()
        found[name] = (
            None if view.checkpoint is None else {"position": view.checkpoint.position, "at": view.checkpoint.at}
        )
    if json:
        say(json_module.dumps(found, ensure_ascii=False, default=str))
        return
    for name, entry in found.items():
        if entry is None:
            say(f"{name}: no checkpoint; the next run starts at the beginning")
        else:
            position = json_module.dumps(entry["position"], ensure_ascii=False, default=str)
            say(f"{name}: stored {entry['at']}\n  {position}")


@command.command("set", cls=Command)
@click.argument("task")
@click.argument("position")
@config_options
def set_(task: str, position: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> None:
    """Set the checkpoint of a task to POSITION, a JSON object as printed by `checkpoint show -json`."""
    from dstream.engine.runs.flows import flow_names
    from dstream_state import Checkpoint
    from dstream_state.clock import now

    value = json_object(position, "a position", hint="POSITION")
    operation = open_configured(config, var, var_file)
    names = flow_names(operation, task)
    if len(names) != 1:
        raise click.ClickException(f"Task {task} has several flows. Name one of: {', '.join(names)}")
    with operation.backend.task(names[0]).acquire("checkpoint set") as lease:
        previous = lease.checkpoint
        objects = previous.objects if previous is not None else {}
        lease.store(Checkpoint(value, names[0], objects, now()))
    say(f"{names[0]}: set.")


@command.command("reset", cls=Command)
@click.argument("task")
@config_options
@flag("force", help="Do not ask for confirmation.")
def reset(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool) -> None:
    """Delete the checkpoint of a task, so that its next run starts from the beginning."""
    from dstream.engine.runs.flows import flow_names

    operation = open_configured(config, var, var_file)
    names = flow_names(operation, task)
    if not force:
        click.confirm(f"Delete the checkpoint of {', '.join(names)}? Records may be delivered again.", abort=True)
    for name in names:
        with operation.backend.task(name).acquire("checkpoint reset") as lease:
            lease.reset()
        say(f"{name}: reset.")
