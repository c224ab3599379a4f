"""`dstream checkpoint show|set|import|reset`."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, Group, config_options, flag, json_object, option
from dstream.cli.render.paint import say
from dstream.cli.render.terminal import confirm, short

if TYPE_CHECKING:
    from dstream.engine.setup.operation import Operation


@click.group("checkpoint", cls=Group)
def command() -> None:
    """Show, set, import or reset the position at which a task resumes."""


@command.command("show", cls=Command)
@click.argument("task")
@config_options
@flag("json", help="Print JSON.")
def show(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool) -> None:
    """Show the last stored checkpoint of each flow of a task."""
    from dstream.engine.runs.flows import flow_names

    operation = open_for_state(config, var, var_file)
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
            say(f"{name}: stored {entry['at']}")
            say(f"  {position}")


@command.command("set", cls=Command)
@click.argument("task")
@click.argument("position", required=False)
@config_options
@option("start", metavar="WHERE", help="Instead of POSITION: where to start, as the setting `start` of the input.")
def set_(
    task: str, position: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], start: str | None
) -> None:
    """Set the checkpoint of a task to POSITION, a JSON object as printed by `checkpoint show -json`.

    With -start, the next run of a SQL Server input starts at an LSN, at a time, or at "oldest" or "now".
    """
    from dstream.engine.runs.flows import flow_names

    if (position is None) == (start is None):
        raise click.UsageError("Give either POSITION or -start.")
    value = json_object(position, "a position", hint="POSITION") if position is not None else {"start": start}
    operation = open_for_state(config, var, var_file)
    names = flow_names(operation, task)
    if len(names) != 1:
        raise click.ClickException(f"Task {task} has several flows. Name one of: {', '.join(names)}")
    _store(operation, names[0], value, "checkpoint set", replace=True)
    say(f"{names[0]}: set.")


@command.command("import", cls=Command)
@click.argument("task")
@config_options
@flag("force", help="Replace a stored checkpoint.")
def import_(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool) -> None:
    """Take over the offsets of the older project: the table cdc_offsets in the SQL Server database of a task.

    The next run reads the table, and continues behind its offsets. The last transaction is delivered again.
    """
    from dstream.engine.runs.flows import flow_names

    operation = open_for_state(config, var, var_file)
    for name in flow_names(operation, task):
        _store(operation, name, {"start": "cdc_offsets"}, "checkpoint import", replace=force)
        say(f"{name}: the next run continues behind the offsets in cdc_offsets.")


def _store(operation: Operation, flow: str, position: dict[str, Any], who: str, *, replace: bool) -> None:
    """Store a position under the lease of the flow; refuse if there is one, unless it is to be replaced."""
    from dstream_state import Checkpoint
    from dstream_state.clock import now

    with operation.backend.task(flow).acquire(who) as lease:
        previous = lease.checkpoint
        if previous is not None and not replace:
            raise click.ClickException(
                f"{flow} has a checkpoint, stored {previous.at}. To replace it, add -force; to see it, run: "
                f"dstream checkpoint show {flow}"
            )
        lease.store(Checkpoint(position, flow, previous.objects if previous is not None else {}, now()))


@command.command("reset", cls=Command)
@click.argument("task")
@config_options
@flag("force", help="Do not ask for confirmation.")
def reset(task: str, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool) -> None:
    """Delete the checkpoint of a task, so that its next run starts from the beginning."""
    from dstream.engine.runs.flows import flow_names

    operation = open_for_state(config, var, var_file)
    names = flow_names(operation, task)
    if not force:
        confirm(f"Delete the checkpoint of {', '.join(map(short, names))}? Records may be delivered again.")
    for name in names:
        with operation.backend.task(name).acquire("checkpoint reset") as lease:
            lease.reset()
        say(f"{name}: reset.")
