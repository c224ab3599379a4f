"""`dstream run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, flag, option, seconds
from dstream.cli.render.paint import paint_for, say, say_text

if TYPE_CHECKING:
    from dstream.cli.render.paint import Paint
    from dstream.diagnostics import Diagnostic
    from dstream.engine.setup.operation import Operation
    from dstream.run import Flow, RunOutcome
    from dstream_state import Snapshot


def write_run_failure(found: tuple[Diagnostic, ...], seconds: float) -> bool:
    """Write a failure as events on standard error, in place of text; see `FailureWriter`."""
    from dstream.cli.render.run_progress import broken_line

    say(broken_line(found, seconds), stream=sys.stderr)
    return True


@click.command("run", cls=Command, write_failure=write_run_failure)
@click.argument("tasks", nargs=-1, metavar="TASK...")
@config_options
@option("lock-timeout", metavar="DURATION", default="0s", help="How long to wait for another runner of the task.")
@flag("until-idle", help="Stop when all data that existed at the start is moved.")
@option("max-records", metavar="N", type=click.IntRange(min=1), help="Stop after this many records.")
@option(
    "skip-records",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Skip this many records into the dead letters.",
)
@option("grace", metavar="DURATION", default="30s", help="How long a graceful stop may take.")
@flag("detach", help="Run in the background; see `dstream logs`, `status` and `stop`.")
@flag("apply", help="Apply the tasks first; prompts as `dstream apply` does.")
@flag("auto-approve", help="With -apply: do not ask for approval.")
@flag("unapplied", help="Also run tasks that were not applied, or changed since.")
@flag("json", help="Write events as JSON lines to standard error.")
@flag("quiet", help="Print only problems and the summary.")
@flag("color", default=True, help="Colour, on a terminal (default).")
def command(
    tasks: tuple[str, ...],
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    lock_timeout: str,
    until_idle: bool,
    max_records: int | None,
    skip_records: int,
    grace: str,
    detach: bool,
    apply: bool,
    auto_approve: bool,
    unapplied: bool,
    json: bool,
    quiet: bool,
    color: bool,
) -> int:
    """Run the data flow of one or more tasks. Without TASK, run the only task of the configuration.

    A task that was never applied, or was changed since, runs if nothing has to be created or changed for it.

    Version 1 outputs and the console output write to standard output, everything else goes to standard error. Press
    Ctrl-C once to stop at a checkpoint, twice to stop immediately.
    """
    operation = open_configured(config, var, var_file)
    names = tasks or tuple(operation.config.tasks)
    if not tasks and len(names) != 1:
        known = ", ".join(names) or "none"
        raise click.ClickException(f"Name the task to run. Tasks: {known}.")
    if detach and apply and not auto_approve:
        raise click.UsageError("A background run cannot prompt. Apply first, or add -auto-approve.")
    if apply:
        from dstream.cli.apply import apply_tasks

        targets = tuple(f"task.{name.removeprefix('task.')}" for name in names)
        code = apply_tasks(
            operation, targets, parallelism=10, lock_timeout=lock_timeout, auto_approve=auto_approve, color=color
        )
        if code:
            return code
    if detach:
        from dstream.cli.detach import run_detached

        settings = {
            "lock-timeout": lock_timeout,
            "max-records": max_records,
            "skip-records": skip_records,
            "grace": grace,
        }
        flags = {"until-idle": until_idle, "unapplied": unapplied, "json": json, "quiet": quiet}
        return run_detached(operation, names, (config, var, var_file), settings, flags)
    from dstream.cli.render.progress import Lines
    from dstream.cli.render.run_progress import Events, applying_line, summary_lines, waiting_line
    from dstream.engine.apply.new_streams import create_for_streams
    from dstream.engine.commands.plan import current_state
    from dstream.engine.providers.pool import ProviderPool
    from dstream.engine.runs.first_run import never_applied, record_changed, record_first_run
    from dstream.engine.runs.flows import NotAsApplied, make_flows
    from dstream.engine.runs.run_files import RunStatusWriter
    from dstream.engine.runs.startup import when_reachable
    from dstream.run import RunOptions, Stop, on_signals, run_flows

    pool = ProviderPool(operation)
    stop = Stop()
    paint = paint_for(sys.stderr, color=color)

    def recording(text: str) -> None:
        say(applying_line(text, json=json), stream=sys.stderr)

    def prepare() -> list[Flow]:
        snapshot, _ = current_state(operation)
        first = [] if unapplied else never_applied(operation, names, snapshot)
        if first:
            record_first_run(operation, first, Lines(paint, out=recording), stop)
            snapshot, _ = current_state(operation)
        try:
            return flows_of(snapshot)
        except NotAsApplied as found:
            record_changed(operation, names, found, Lines(paint, out=recording), stop)
            return flows_of(current_state(operation)[0])

    def flows_of(snapshot: Snapshot) -> list[Flow]:
        try:
            return [flow for name in names for flow in make_flows(operation, name, snapshot, pool, unapplied=unapplied)]
        finally:
            pool.end_planning()  # a run may take months

    def unreachable(found: tuple[Diagnostic, ...], delay: float) -> None:
        say(waiting_line(found, delay, json=json), stream=sys.stderr)

    flows = when_reachable(prepare, stop, unreachable) or []
    options = RunOptions(
        until_idle=until_idle,
        max_records=max_records,
        skip_records=skip_records,
        grace=seconds(grace, "-grace"),
        lock_timeout=seconds(lock_timeout, "-lock-timeout"),
    )
    events = Events(paint, json=json, quiet=quiet, several=len(flows) > 1)
    noting = RunStatusWriter(operation.root, flows, events)

    def provided(flow: Flow, streams: Sequence[Mapping[str, Any]]) -> Flow:
        return create_for_streams(operation, flow, streams, Lines(paint, out=lambda text: events.applying(flow, text)))

    def ended(flow: Flow, outcome: RunOutcome) -> None:
        noting.ended(flow, outcome)
        events.ended(flow, outcome)

    with on_signals(stop):
        stores = [(flow, operation.backend.task(flow.name)) for flow in flows]
        outcomes = run_flows(stores, options, noting, stop, provided, ended)
    events.close()
    for line in summary_lines(flows, outcomes, paint, json=json):
        say(line, stream=sys.stderr)
    if not json:
        show_failures(operation, outcomes, paint_for(sys.stderr, color=color))
    codes = {outcome.exit_code(flow) for flow, outcome in zip(flows, outcomes, strict=True)}
    return 1 if 1 in codes else max(codes, default=0)


def show_failures(operation: Operation, outcomes: Sequence[RunOutcome], paint: Paint) -> None:
    """Write the diagnostics of all flows, each with the place of its task."""
    from dstream.cli.render.diagnostics import diagnostics_text
    from dstream.engine.setup.block_places import placed

    found = [diagnostic for outcome in outcomes for diagnostic in outcome.diagnostics]
    if found:
        text = diagnostics_text(placed(found, operation.config), operation.config.sources, paint)
        say_text(text, stream=sys.stderr)
