"""`dstream drift`."""

from __future__ import annotations

import json as json_module
import sys
from typing import TYPE_CHECKING

import click

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, flag, option
from dstream.cli.render.paint import paint_for, say, say_lines, say_text
from dstream.cli.render.refresh_progress import announce, show_refresh

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic


def write_drift_failure(found: tuple[Diagnostic, ...], _seconds: float) -> bool:
    """Write the reason for a missing report as a document in its place; see `FailureWriter`."""
    from dstream.cli.render.drift import no_report_json

    say(json_module.dumps(no_report_json(found), ensure_ascii=False))
    return False


@click.command("drift", cls=Command, write_failure=write_drift_failure)
@config_options
@option("format", type=click.Choice(["text", "markdown", "json"]), default="text", help="Output format.")
@flag("json", help="Same as -format=json.")
@flag("color", default=True, help="Colour, on a terminal (default).")
def command(config: str, var: tuple[str, ...], var_file: tuple[str, ...], format: str, json: bool, color: bool) -> int:
    """Report objects that changed outside of dstream or are missing, and changes that are not applied yet.

    Exit codes: 2 for changed or missing objects; 1 for an error or an unreachable object, also if there is drift;
    0 otherwise. Changes in the configuration that are not applied yet are not drift.
    """
    quiet = json or format == "json"
    announce("Refreshing state", quiet=quiet)
    operation = open_configured(config, var, var_file)
    from dstream.cli.render.drift import drift_json, report_lines
    from dstream.engine.commands.drift import find_drift

    with show_refresh(operation.refresh_progress, quiet=quiet):
        report = find_drift(operation)
    if quiet:
        say(json_module.dumps(drift_json(report), ensure_ascii=False, default=str))
    elif format == "markdown":
        from dstream.cli.render.drift_markdown import report_markdown
        from dstream.cli.render.formats import write

        write([report_markdown(report)])
    else:
        say_lines(report_lines(report, paint_for(sys.stdout, color=color)))
    if report.diagnostics or report.warnings:
        from dstream.cli.render.diagnostics import diagnostics_text

        paint = paint_for(sys.stderr, color=color)
        found = (*report.diagnostics, *report.warnings)
        say_text(diagnostics_text(found, operation.config.sources, paint), stream=sys.stderr)
    return report.exit_code
