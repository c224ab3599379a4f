"""`dstream force-unlock`."""

from __future__ import annotations

import click

from dstream.cli.open_operation import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say


@click.command("force-unlock", cls=Command)
@click.argument("lock_id", metavar="[LOCK-ID]", required=False)
@config_options
@flag("force", help="Do not ask.")
@flag("kill", help="End the holder's process first, if it still runs on this host.")
def command(
    lock_id: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], force: bool, kill: bool
) -> None:
    """Release the lock of a holder that is gone for good.

    LOCK-ID is in the message that names the holder; without one, only a lock that has no holder's name is released.
    """
    operation = opened(config, var, var_file)
    if not force:
        click.confirm(
            "If the holder still runs, two operations will change the same things. Release its lock?", abort=True
        )
    holder = operation.backend.force_unlock(lock_id, kill=kill)
    if holder is None or holder.released:
        say("Released. Nobody's name was on the lock.")
    else:
        say(f"Released the lock of {holder.describe()}.")
