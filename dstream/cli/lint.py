"""`dstream lint` (alias `validate`)."""

from __future__ import annotations

import json as json_module
import sys
from typing import TYPE_CHECKING

import click

from dstream.cli.open_operation import operation_inputs
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say, say_text

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic


def write_lint_failure(found: tuple[Diagnostic, ...], _seconds: float) -> bool:
    """Write a failure as the only finding; see `FailureWriter`."""
    from dstream.engine.commands.validate import LintResult

    say_text(json_module.dumps(LintResult(found, {}).to_json(), ensure_ascii=False, indent=2))
    return False


@click.command("lint", cls=Command, write_failure=write_lint_failure)
@click.argument("path", required=False)
@config_options
@flag("run-providers", default=None, help="Also start providers of the lock file; with -no-run-providers, start none.")
@flag("json", help="Print JSON in the format of `terraform validate -json`.")
@flag("color", default=True, help="Colour, on a terminal (default).")
def command(
    path: str | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    run_providers: bool | None,
    json: bool,
    color: bool,
) -> int:
    """Check the configuration without accessing remote systems. PATH is short for -config=PATH.

    Starts installed providers and those of provider_path to read their schemas. For providers from registries the
    lock file has the schemas; nothing is fetched.
    """
    from dstream.engine.commands.validate import lint

    result = lint(operation_inputs(path or config, var, var_file), start=run_providers)
    if json:
        say_text(json_module.dumps(result.to_json(), ensure_ascii=False, indent=2))
        return 0 if result.valid else 1
    if result.diagnostics:
        from dstream.cli.render.diagnostics import diagnostics_text

        stream = sys.stdout if result.valid else sys.stderr
        say_text(diagnostics_text(result.diagnostics, result.sources, paint_for(stream, color=color)), stream=stream)
    if not result.valid:
        return 1
    paint = paint_for(sys.stdout, color=color)
    say(paint("Valid.", "bold", "green") + " The configuration has no errors.")
    return 0
