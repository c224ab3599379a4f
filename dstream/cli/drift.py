"""`dstream drift`."""

from __future__ import annotations

import json as json_module
import sys

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say


@click.command("drift", cls=Command)
@config_options
@flag("json", help="As JSON.")
@flag("color", default=True, help="Colour, on a terminal (default).")
def command(config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool, color: bool) -> int:
    """Report what was changed outside since the last apply.

    Exits with 0: none, 2: something was changed or is missing, 1: an error, or something could not be asked.
    """
    operation = opened(config, var, var_file)
    from dstream.cli.render.drift import drift_json, report_lines
    from dstream.engine.drift import find_drift
    from dstream.plan import DriftKind

    report = find_drift(operation)
    if json:
        say(json_module.dumps(drift_json(report), ensure_ascii=False, default=str))
    else:
        for line in report_lines(report, paint_for(sys.stdout, wanted=color)):
            say(line)
    if report.of(DriftKind.UNREACHABLE):
        return 1
    return 2 if report.drifts else 0
