"""`dstream logs`."""

from __future__ import annotations

import sys
import time
from collections import deque

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, Option, config_options, flag, option
from dstream.cli.render.terminal import put


@click.command("logs", cls=Command)
@click.argument("task")
@config_options
@click.option(
    "-f", "-follow", "--follow", "follow", is_flag=True, cls=Option, help="Follow the output until the run ends."
)
@option("n", metavar="LINES", type=click.IntRange(min=0), help="Show only this many lines from the end.")
@flag("previous", help="Show the previous run.")
def command(
    task: str,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    follow: bool,
    n: int | None,
    previous: bool,
) -> None:
    """Show the output of a detached run of a task: provider logs, restarts, the summary."""
    from dstream.diagnostics import DiagnosticsError
    from dstream.engine.runs.run_files import log_path
    from dstream.engine.runs.running import flows_of, runner_of

    operation = open_for_state(config, var, var_file)
    name = task.removeprefix("task.")
    path = log_path(operation.root, name)
    path = path.with_name(f"{path.name}.1") if previous else path
    try:
        flows = flows_of(operation, name)
    except DiagnosticsError:
        if not path.exists():
            raise
        flows = []  # its block is gone, and it runs no longer
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file if n is None else deque(file, maxlen=n):
                put(line, sys.stdout)
            while follow and not previous:
                text = file.read()
                if text:
                    put(text, sys.stdout)
                elif not any(runner_of(operation, flow) for flow in flows):
                    put(file.read(), sys.stdout)
                    break
                else:
                    time.sleep(0.2)
    except FileNotFoundError:
        detail = f"No log of {name}. Only background runs have one: dstream run {name} -detach"
        raise click.ClickException(detail) from None
