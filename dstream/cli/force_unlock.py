"""`dstream force-unlock`."""

from __future__ import annotations

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say
from dstream.cli.render.terminal import confirm


@click.command("force-unlock", cls=Command)
@click.argument("lock_id", metavar="[LOCK-ID]", required=False)
@config_options
@flag("force", help="Do not ask for confirmation.")
@flag("kill", help="Kill the holder's process first, if it still runs on this host.")
def command(
    lock_id: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool, kill: bool
) -> None:
    """Release the lock of an operation that no longer runs.

    The message "State locked" shows the LOCK-ID. Without one, only a lock without a recorded holder is released.
    """
    operation = open_for_state(config, var, var_file)
    if not operation.backend.is_locked():
        raise click.ClickException(f"There is no lock to release: {operation.backend.describe()} is not locked.")
    if not force:
        confirm("If the holder is still running, two operations will change the same objects. Release its lock?")
    holder = operation.backend.force_unlock(lock_id, kill=kill)
    if holder is None or holder.released:
        say("Released the lock. It had no recorded holder.")
    else:
        say(f"Released the lock of {holder.describe()}.")
