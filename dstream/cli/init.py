"""`dstream init`: prepare providers and backend; with a task, the older name of `apply`."""

from __future__ import annotations

import click

from dstream.cli.open_operation import open_configured, task_targets
from dstream.cli.options import Command, config_options, flag, lock_options, option
from dstream.cli.render.paint import say


@click.command("init", cls=Command)
@click.argument("task", required=False)
@config_options
@lock_options
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

    operation = open_configured(config, var, var_file)
    operation.backend.prepare()
    lock(
        lenient(config, var, var_file),
        upgrade=upgrade,
        mode=lockfile,
        recorded=prior_sources(operation),
        pull=pull_images,
    )
    if task is not None:
        from dstream.cli.apply import carry_out
        from dstream.engine.plan.plan_result import PlanOptions

        return carry_out(
            operation,
            PlanOptions(targets=task_targets(operation, task, ())),
            parallelism=parallelism,
            lock_timeout=lock_timeout,
            auto_approve=auto_approve,
            stop_tasks=False,
            allow_data_loss=False,
            json=False,
            color=color,
        )
    from dstream.engine.commands.provider_inventory import configured_providers

    say(f"State: {operation.backend.describe()}")
    for used in configured_providers(operation):
        say(f"Provider {used.name}: {used.info.name} {used.info.version}, protocol {used.info.protocol}")
    say("\ndstream has been initialized. Run `dstream plan` to see the required changes.")
    return 0
