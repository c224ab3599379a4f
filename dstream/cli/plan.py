"""`dstream plan`."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.opening import opened, task_targets
from dstream.cli.options import Command, config_options, flag, lock_options, plan_options
from dstream.cli.render.paint import paint_for, say, say_lines
from dstream.cli.render.stage import asking, hello


@click.command("plan", cls=Command)
@click.argument("task", required=False)
@config_options
@plan_options
@lock_options
@flag("destroy", help="Show what destroy would do.")
@flag("json", help="As JSON.")
@flag("detailed-exitcode", help="Exit with 0: no changes, 1: error, 2: changes.")
@flag("color", default=True, help="Colour, on a terminal (default).")
@flag("input", default=True, help="Ask for missing variables, on a terminal (default).")
def command(
    task: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    target: tuple[str, ...],
    replace: tuple[str, ...],
    refresh: bool,
    parallelism: int,
    lock_timeout: str,
    destroy: bool,
    json: bool,
    detailed_exitcode: bool,
    color: bool,
    input: bool,
) -> int:
    """Show what apply would do, for everything or for one TASK. Nothing is changed, no lock is taken."""
    hello("Planning", quiet=json)
    operation = opened(config, var, var_file, ask=input)
    from dstream.engine.plan import plan
    from dstream.engine.planning import PlanOptions

    options = PlanOptions(destroy, refresh, task_targets(operation, task, target), replace)
    with asking(operation.asked, quiet=json):
        prepared = plan(operation, options)
    if json:
        say(json_module.dumps(prepared.plan.to_json(), ensure_ascii=False, default=str))
    else:
        from dstream.cli.render.diagnostics import diagnostics_text
        from dstream.cli.render.plan import plan_lines

        paint = paint_for(sys.stdout, wanted=color)
        if prepared.plan.diagnostics:
            say(diagnostics_text(prepared.plan.diagnostics, operation.config.sources, paint), stream=sys.stderr)
        if prepared.plan.pending:
            say(f"An apply is under way or was cut off: {prepared.plan.pending} records are taken as done.\n")
        say_lines(plan_lines(prepared.plan, paint))
    return 2 if detailed_exitcode and prepared.plan.has_changes else 0
