"""`dstream stop`."""

from __future__ import annotations

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag, option, seconds
from dstream.cli.render.paint import say


@click.command("stop", cls=Command)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@config_options
@option("timeout", metavar="DURATION", default="60s", help="How long to wait. Default: 60s.")
@flag("force", help="Kill the run; records that are not acknowledged are delivered again by the next run.")
def command(
    tasks: tuple[str, ...], config: str, var: tuple[str, ...], var_file: tuple[str, ...], timeout: str, force: bool
) -> None:
    """Stop tasks that run on this machine, and wait until their last checkpoints are stored."""
    from dstream.engine.runs.detached import stop

    operation = open_for_state(config, var, var_file)
    for task in tasks:
        stopped = stop(operation, task.removeprefix("task."), force=force, patience=seconds(timeout, "-timeout"))
        for flow in stopped:
            say(f"{flow}: stopped")
        if not stopped:
            say(f"{task.removeprefix('task.')}: not running")
