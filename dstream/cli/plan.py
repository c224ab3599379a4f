"""`dstream plan`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.open_operation import open_configured, operation_inputs, task_targets
from dstream.cli.options import Command, concise_option, config_options, flag, format_option, option, plan_options
from dstream.cli.render.paint import paint_for, say_prose
from dstream.cli.render.refresh_progress import announce, show_refresh

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic
    from dstream.engine.plan.plan_result import PlanOptions, PlanResult
    from dstream.engine.providers.pool import ProviderPool
    from dstream.engine.setup.operation import Operation, OperationInputs
    from dstream.plan import Plan


def write_plan_failure(found: tuple[Diagnostic, ...], _seconds: float) -> bool:
    """Write the reason for a missing plan as a document in its place; see `FailureWriter`."""
    from dstream.cli.render.formats import say_json
    from dstream.plan.plan import no_plan_json

    say_json(no_plan_json(found))
    return False


@click.command("plan", cls=Command, write_failure=write_plan_failure)
@click.argument("task", required=False)
@config_options
@plan_options
@option("lock-timeout", metavar="DURATION", default="0s", help="Has no effect: a plan takes no lock.")
@option("out", metavar="FILE", help="Save the plan for `dstream apply FILE`.")
@option("generate-config-out", metavar="FILE", help="Write blocks for imported objects that are not declared.")
@concise_option
@format_option
@flag("destroy", help="Show what destroy would do.")
@flag("refresh-only", help="Show only differences between the state and the real objects.")
@flag("untrusted", help="Plan a configuration that is not trusted, such as that of a pull request.")
@option("allow-env", metavar="NAME", multiple=True, help="With -untrusted: an environment variable it may read.")
@option("allow-provider", metavar="NAME", multiple=True, help="With -untrusted: an installed provider it may start.")
@option("state", metavar="FILE", help="With -untrusted: compare with this copy of the state (`dstream state pull`).")
@flag("json", help="Same as -format=json.")
@flag("detailed-exitcode", help="Exit codes: 0 no changes, 1 error, 2 changes.")
@flag("color", default=True, help="Colour, on a terminal (default).")
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
    parallelism: int,
    lock_timeout: str,
    out: str | None,
    generate_config_out: str | None,
    concise: bool,
    format: str,
    destroy: bool,
    refresh_only: bool,
    untrusted: bool,
    allow_env: tuple[str, ...],
    allow_provider: tuple[str, ...],
    state: str | None,
    json: bool,
    detailed_exitcode: bool,
    color: bool,
    input: bool,
) -> int:
    """Show what apply would do, for everything or for one TASK. Changes nothing and takes no lock."""
    announce("Planning", quiet=json or format != "text")
    form = "json" if json else format
    if untrusted:
        if out is not None or generate_config_out is not None or refresh_only:
            raise click.UsageError("-untrusted cannot be combined with -out, -generate-config-out or -refresh-only.")
        from dstream.cli.render.formats import say_plan
        from dstream.cli.untrusted_plan import plan_in_limits, untrusted_inputs
        from dstream.engine.plan.plan_result import PlanOptions

        inputs = untrusted_inputs(config, var, var_file, allow_env, allow_provider, state)
        found = plan_in_limits(inputs, PlanOptions(destroy, exclude=exclude, replace=replace), task, target)
        say_plan(found, form, paint_for(sys.stdout, color=color), {}, concise=concise)
        return _exit_code(found, detailed=detailed_exitcode)
    if allow_env or allow_provider or state is not None:
        raise click.UsageError("-allow-env, -allow-provider and -state need -untrusted.")
    operation = open_configured(config, var, var_file, ask=input)
    from dstream.cli.apply import with_targets
    from dstream.cli.render.formats import say_plan
    from dstream.engine.commands.plan import plan
    from dstream.engine.plan.plan_result import PlanOptions

    if generate_config_out is not None:
        from dstream.cli.generate_config import generate

        if generate(operation, generate_config_out, {}, quiet=form != "text"):
            operation = open_configured(config, var, var_file, ask=input)
    options = PlanOptions(
        destroy,
        refresh,
        refresh_only,
        exclude=exclude,
        replace=replace,
        assess=None if preflight else False,
        parallelism=parallelism,
    )
    options = with_targets(options, task_targets(operation, task, target))
    save = (
        None if out is None else partial(_save, Path(out), operation, options, operation_inputs(config, var, var_file))
    )
    with show_refresh(operation.refresh_progress, quiet=form != "text"):
        prepared = plan(operation, options, save)
    paint = paint_for(sys.stdout, color=color)
    say_plan(prepared.plan, form, paint, operation.config.sources, concise=concise)
    if out is not None and form == "text":
        from dstream.plan.plan_hash import plan_hash

        which = plan_hash(prepared.plan).removeprefix("sha256:")[:10]
        say_prose(f"\nSaved the plan {which} to {out}. To perform exactly these actions, run: dstream apply {out}")
    return _exit_code(prepared.plan, detailed=detailed_exitcode)


def _exit_code(plan: Plan, *, detailed: bool) -> int:
    """Return 1 if a policy does not allow the plan, otherwise what `-detailed-exitcode` asks for."""
    if not plan.allowed:
        return 1
    return 2 if detailed and plan.has_changes else 0


def _save(
    path: Path,
    operation: Operation,
    options: PlanOptions,
    inputs: OperationInputs,
    prepared: PlanResult,
    pool: ProviderPool,
) -> None:
    from dstream.engine.plan.plan_file import Command as RefreshProgress
    from dstream.engine.plan.plan_file import saved_plan
    from dstream.plan.file import write_plan_file

    command = RefreshProgress(options, inputs.variables, inputs.variable_files)
    write_plan_file(path, saved_plan(operation, prepared, pool, command), operation.encryption)
