"""`dstream show`: a saved plan, or the state. No provider is started."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, concise_option, config_options, flag, format_option, option
from dstream.cli.render.paint import paint_for


@click.command("show", cls=Command)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@config_options
@option("history", metavar="N", type=click.IntRange(min=0), help="Show the apply N of `dstream history`.")
@concise_option
@format_option
@flag("json", help="Same as -format=json.")
@flag("color", default=True, help="Colour, on a terminal (default).")
def command(
    file: Path | None,
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    history: int | None,
    concise: bool,
    format: str,
    json: bool,
    color: bool,
) -> None:
    """Show FILE, a plan saved by `dstream plan -out=FILE`; without FILE, the state."""
    if history is not None:
        if file is not None or concise or format not in ("text", "json"):
            raise click.UsageError("-history shows an earlier apply. It takes -json only, and no FILE.")
        from dstream.cli.history import show

        show(open_for_state(config, var, var_file), history, json=json or format == "json")
        return
    from dstream.cli.render.formats import say_plan, say_state

    form = "json" if json else format
    paint = paint_for(sys.stdout, color=color)
    if file is None:
        if concise:
            raise click.UsageError("-concise shows a saved plan. To list the objects of the state: dstream state list")
        from dstream.engine.commands.plan import current_state

        operation = open_for_state(config, var, var_file)
        snapshot, pending = current_state(operation)
        say_state(snapshot, pending, operation.workspace, form, paint)
        return
    from dstream.cli.open_operation import operation_inputs
    from dstream.engine.setup.operation import open_operation
    from dstream.plan.file import is_plan_file, read_plan_file

    if file.is_file() and not is_plan_file(file):
        raise click.ClickException(f"{file} is not a saved plan. To save one, run: dstream plan -out=FILE")
    found = read_plan_file(file, lambda: open_operation(operation_inputs(config, var, var_file), lint=True).encryption)
    say_plan(found.plan, form, paint, {}, found.form, concise=concise)
