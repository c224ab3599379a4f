"""`dstream destroy`."""

from __future__ import annotations

from typing import Unpack

import click

from dstream.cli.apply import begin, carry_out, with_targets, write_apply_failure
from dstream.cli.open_operation import open_configured, task_targets
from dstream.cli.options import ApplySettings, Command, apply_options, config_options, flag, lock_options, plan_options


@click.command("destroy", cls=Command, write_failure=write_apply_failure)
@click.argument("task", required=False)
@config_options
@plan_options
@lock_options
@apply_options
@flag("input", default=True, help="Ask for missing variables on a terminal (default).")
def command(
    task: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    target: tuple[str, ...],
    exclude: tuple[str, ...],
    replace: tuple[str, ...],
    refresh: bool,
    preflight: bool,
    input: bool,
    **settings: Unpack[ApplySettings],
) -> int:
    """Delete all managed objects, or those of one TASK."""
    begin("Planning the destruction", json=settings["json"])
    operation = open_configured(config, var, var_file, ask=input)
    from dstream.engine.plan.plan_result import PlanOptions

    assess = None if preflight else False
    options = PlanOptions(destroy=True, refresh=refresh, exclude=exclude, replace=replace, assess=assess)
    return carry_out(operation, with_targets(options, task_targets(operation, task, target)), **settings)
