"""`dstream apply`, and the steps that `destroy` and `init TASK` share with it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Unpack

import click

from dstream.cli.open_operation import is_saved_plan, open_configured, open_saved_plan, task_targets
from dstream.cli.options import (
    ApplySettings,
    Command,
    apply_options,
    config_options,
    flag,
    lock_options,
    plan_options,
    seconds,
)
from dstream.cli.render.paint import Paint, paint_for, say, say_lines, say_prose, say_text
from dstream.cli.render.refresh_progress import announce
from dstream.engine.setup.operation import Operation

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic
    from dstream.engine.apply.apply import Outcome
    from dstream.engine.plan.plan_result import PlanOptions
    from dstream.plan.file import PlanFile


def write_apply_failure(found: tuple[Diagnostic, ...], seconds: float) -> bool:
    """Write the failure of an apply as events; see `FailureWriter`."""
    from dstream.cli.render.events import Events, version

    version()
    Events().broken(found, seconds)
    return False


@click.command("apply", cls=Command, write_failure=write_apply_failure)
@click.argument("task", required=False, metavar="[TASK or FILE]")
@config_options
@plan_options
@lock_options
@flag("destroy", help="Destroy instead.")
@flag("refresh-only", help="Only update the state to match the real objects.")
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
    destroy: bool,
    refresh_only: bool,
    input: bool,
    **settings: Unpack[ApplySettings],
) -> int:
    """Create, update and delete objects to match the configuration, for everything or for one TASK.

    With FILE, a plan saved by `dstream plan -out=FILE`, perform exactly the actions in that plan without approval.
    """
    begin("Planning", json=settings["json"])
    from dstream.engine.plan.plan_result import PlanOptions

    given_options = PlanOptions(destroy, refresh, refresh_only, target, exclude, replace, None if preflight else False)
    saved = None
    if task is not None and is_saved_plan(task):
        if given_options != PlanOptions():
            raise click.UsageError(
                f"{task} is a saved plan. Planning options cannot be used with it "
                "(-target, -exclude, -replace, -destroy, -refresh, -preflight, -refresh-only)."
            )
        operation, saved = open_saved_plan(task, config, var, var_file)
        options = given_options
    else:
        operation = open_configured(config, var, var_file, ask=input)
        options = with_targets(given_options, task_targets(operation, task, target))
    return carry_out(operation, options, saved, **settings)


def begin(what: str, *, json: bool) -> None:
    """Announce the operation, before anything slow is imported."""
    if json:
        from dstream.cli.render.events import version

        version()
    else:
        announce(what)


def with_targets(options: PlanOptions, targets: tuple[str, ...]) -> PlanOptions:
    """Return the options with these targets; raise UsageError if two options exclude each other."""
    from msgspec.structs import replace

    if options.refresh_only and (options.destroy or options.replace):
        raise click.UsageError("-refresh-only changes only the state and cannot be combined with -destroy or -replace.")
    if options.refresh_only and not options.refresh:
        raise click.UsageError("-refresh-only cannot be combined with -refresh=false.")
    if targets and options.exclude:
        raise click.UsageError("-target and -exclude cannot be combined.")
    return replace(options, targets=targets)


def apply_tasks(
    operation: Operation,
    targets: tuple[str, ...],
    *,
    parallelism: int,
    lock_timeout: str,
    auto_approve: bool,
    color: bool,
) -> int:
    """Apply what tasks require, for commands that do so on the way; return the exit code."""
    from dstream.engine.plan.plan_result import PlanOptions

    return carry_out(
        operation,
        PlanOptions(targets=targets),
        parallelism=parallelism,
        lock_timeout=lock_timeout,
        auto_approve=auto_approve,
        stop_tasks=False,
        allow_data_loss=(),
        json=False,
        color=color,
        concise=False,
    )


def carry_out(
    operation: Operation, plan_options: PlanOptions, saved: PlanFile | None = None, **settings: Unpack[ApplySettings]
) -> int:
    """Plan, prompt for approval and apply, or apply a saved plan; return the exit code."""
    from msgspec import structs

    from dstream.cli.render.approval import Approval
    from dstream.cli.render.diagnostics import diagnostics_text
    from dstream.cli.render.progress import PlainProgress, applied_summary, progress_for
    from dstream.engine.apply.apply import ApplyOptions, apply
    from dstream.engine.apply.consent import Consent
    from dstream.stopping import Stop, on_signals

    paint = paint_for(sys.stdout, color=settings["color"])
    plan_options = structs.replace(plan_options, parallelism=settings["parallelism"])
    patience = seconds(settings["lock_timeout"], "-lock-timeout")
    approval_by = "saved plan" if saved is not None else "-auto-approve" if settings["auto_approve"] else "prompt"
    options = ApplyOptions(plan_options, settings["parallelism"], patience, approval_by, settings["stop_tasks"])
    events = None
    if settings["json"]:
        from dstream.cli.render.events import Events

        events = Events()
    progress = PlainProgress(events) if events is not None else progress_for(paint, sys.stdout)
    try:
        consent = Consent.read(settings["allow_data_loss"])
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="-allow-data-loss") from None
    approval = Approval(
        paint,
        auto=settings["auto_approve"],
        consent=consent,
        show=events.planned if events is not None else None,
        before=progress.pause,
        sources=operation.config.sources,
        saved=saved is not None,
        concise=settings["concise"],
    )
    stop, began = Stop(), time.monotonic()

    def show_stop() -> None:
        at_once = "Stopping immediately. The next apply resolves the changes that were in progress."
        once = "Stopping after the changes in progress. Press Ctrl-C again to stop immediately."
        progress.note(at_once if stop.at_once else once)

    try:
        with on_signals(stop), stop.listening(show_stop):
            progress.planning(operation.refresh_progress)
            outcome = apply(operation, options, approval, progress, stop, saved)
    finally:
        progress.close()
    if not outcome.approved:
        if events is not None:
            events.outcome(outcome, time.monotonic() - began)
        say_prose(approval.refusal, stream=sys.stderr)
        return 1
    if outcome.diagnostics:
        error_paint = paint_for(sys.stderr, color=settings["color"])
        say_text("\n" + diagnostics_text(outcome.diagnostics, operation.config.sources, error_paint), stream=sys.stderr)
    if events is not None:
        events.outcome(outcome, time.monotonic() - began)
    elif not outcome.plan.has_changes:
        from dstream.cli.render.plan import plan_lines

        for line in plan_lines(outcome.plan, paint):
            say(line)
    else:
        say()
        for line in applied_summary(
            outcome.plan,
            outcome.counts,
            progress,
            time.monotonic() - progress.began,
            failed=outcome.failed,
            paint=paint,
        ):
            say(line)
        if outcome.plan.counts["deferred"]:
            say("Some changes were deferred until values became known. Apply again.")
    if events is None and not plan_options.destroy and not outcome.failed and not stop.requested:
        show_outputs(outcome, paint)
    if stop.requested:
        return 130
    if outcome.failed:
        return 1
    return 2 if outcome.plan.counts["deferred"] else 0


def show_outputs(outcome: Outcome, paint: Paint) -> None:
    """Print the outputs as recorded, if there are any; secrets stay hidden."""
    from dstream.cli.render.state import output_lines

    outputs = outcome.snapshot.outputs if outcome.snapshot is not None else {}
    if outputs:
        say()
        say(paint("Outputs:", "bold"))
        say()
        say_lines(line for name in sorted(outputs) for line in output_lines(name, outputs[name]))
