"""`dstream destroy`."""

from __future__ import annotations

import click

from dstream.cli.apply import begin, carry_out, say_broken, shaped
from dstream.cli.opening import opened, task_targets
from dstream.cli.options import Command, config_options, flag, lock_options, plan_options


@click.command("destroy", cls=Command, tells=say_broken)
@click.argument("task", required=False)
@config_options
@plan_options
@lock_options
@flag("auto-approve", help="Do not ask.")
@flag("stop-tasks", help="Stop runs on this machine whose tasks are changed or removed.")
@flag("allow-data-loss", help="With -auto-approve: also destroy what holds data.")
@flag("json", help="Write the plan and the outcome as JSON lines.")
@flag("color", default=True, help="Colour, on a terminal (default).")
@flag("input", default=True, help="Ask for missing variables, on a terminal (default).")
def command(
    task: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    target: tuple[str, ...],
    exclude: tuple[str, ...],
    replace: tuple[str, ...],
    refresh: bool,
    parallelism: int,
    lock_timeout: str,
    stop_tasks: bool,
    auto_approve: bool,
    allow_data_loss: bool,
    json: bool,
    color: bool,
    input: bool,
) -> int:
    """Delete everything that was applied, or what one TASK needed."""
    begin("Planning what to destroy", json=json)
    operation = opened(config, var, var_file, ask=input)
    from dstream.engine.prepared import PlanOptions

    options = PlanOptions(destroy=True, refresh=refresh, exclude=exclude, replace=replace)
    return carry_out(
        operation,
        shaped(options, task_targets(operation, task, target)),
        parallelism=parallelism,
        lock_timeout=lock_timeout,
        stop_tasks=stop_tasks,
        auto_approve=auto_approve,
        allow_data_loss=allow_data_loss,
        json=json,
        color=color,
    )
