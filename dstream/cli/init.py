"""`dstream init`: prepare providers and backend; with a task, the older name of `apply`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dstream.cli.open_operation import open_configured, open_for_state, task_targets
from dstream.cli.options import Command, config_options, flag, lock_options, option, seconds
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from dstream.engine.setup.operation import Operation


@click.command("init", cls=Command)
@click.argument("task", required=False)
@config_options
@lock_options
@option(
    "backend-config",
    metavar="FILE|KEY=VALUE",
    multiple=True,
    help="Set an argument of the backend block; kept for later commands.",
)
@flag("migrate-state", help="Where the backend changed: move the state to the new one.")
@flag("reconfigure", help="Where the backend changed: use the new one and leave the old state where it is.")
@flag("upgrade", help="Lock the newest versions that the constraints allow, and the present digests of tags.")
@flag("pull-images", help="Pull images again that are already on this machine.")
@option("lockfile", metavar="MODE", help="readonly: fail if the lock file would change.")
@flag("auto-approve", help="With TASK: do not ask for approval.")
@flag("color", default=True, help="Colour, on a terminal (default).")
@option(
    "parallelism", metavar="N", type=click.IntRange(min=1), default=10, help="With TASK: number of concurrent changes."
)
def command(
    task: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    lock_timeout: str,
    backend_config: tuple[str, ...],
    migrate_state: bool,
    reconfigure: bool,
    upgrade: bool,
    pull_images: bool,
    lockfile: str | None,
    auto_approve: bool,
    color: bool,
    parallelism: int,
) -> int:
    """Find and lock the providers, and prepare the backend. Nothing else changes.

    With TASK, the same as `dstream apply TASK`, which replaces `init TASK`.
    """
    from dstream.cli.dependency_lock import lenient, lock
    from dstream.engine.commands.dependency_lock import prior_sources

    if migrate_state and reconfigure:
        raise click.UsageError("-migrate-state and -reconfigure exclude each other.")
    opened = open_for_state if task is None else open_configured
    operation = opened(config, var, var_file)
    _initialize_backend(operation, backend_config, migrate_state, reconfigure, lock_timeout)
    lock(
        lenient(config, var, var_file),
        upgrade=upgrade,
        mode=lockfile,
        recorded=prior_sources(operation),
        pull=pull_images,
    )
    if task is not None:
        from dstream.cli.apply import apply_tasks

        return apply_tasks(
            operation,
            task_targets(operation, task, ()),
            parallelism=parallelism,
            lock_timeout=lock_timeout,
            auto_approve=auto_approve,
            color=color,
        )
    from dstream.engine.commands.provider_inventory import configured_providers

    say(f"State: {operation.backend.describe()}")
    for used in configured_providers(operation):
        say(f"Provider {used.name}: {used.info.name} {used.info.version}, protocol {used.info.protocol}")
    say_text("\ndstream has been initialized. Run `dstream plan` to see the required changes.")
    return 0


def _initialize_backend(
    operation: Operation, given: tuple[str, ...], migrate_state: bool, reconfigure: bool, lock_timeout: str
) -> None:
    from dstream.cli.render.moves import say_moves
    from dstream.cli.render.paint import paint_for
    from dstream.cli.render.progress import Lines
    from dstream.engine.commands.backend_change import Change, initialize_backend

    change: Change = "migrate" if migrate_state else "reconfigure" if reconfigure else "refuse"
    waiting = Lines(paint_for(sys.stdout)).waiting
    moves = initialize_backend(operation, given, change, seconds(lock_timeout, "-lock-timeout"), waiting)
    if moves is not None:
        say_moves(moves, operation.backend)
