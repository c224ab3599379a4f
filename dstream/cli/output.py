"""`dstream output`."""

from __future__ import annotations

import json as json_module

import click

from dstream.cli.open_operation import open_for_state
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import say, say_text
from dstream.cli.render.terminal import put_exact


@click.command("output", cls=Command)
@click.argument("name", required=False)
@config_options
@flag("json", help="Print JSON.")
@flag("raw", help="Print the raw string of one output without a newline, for scripts.")
def command(
    name: str | None, config: str, var: tuple[str, ...], var_file: tuple[str, ...], json: bool, raw: bool
) -> None:
    """Show the output values of the last apply, or the one called NAME."""
    from dstream.cli.render.values import SENSITIVE, literal
    from dstream.engine.commands.plan import current_state
    from dstream.lang.markers import is_fingerprint

    outputs = current_state(open_for_state(config, var, var_file))[0].outputs
    if name is None:
        if json:
            shown = {
                key: {"sensitive": item.sensitive, "value": None if item.sensitive else item.value}
                for key, item in sorted(outputs.items())
            }
            say(json_module.dumps(shown, ensure_ascii=False, default=str))
            return
        if not outputs:
            say("No outputs found. The configuration has no output blocks, or was not applied yet.")
        for key, item in sorted(outputs.items()):
            say_text(f"{key} = {SENSITIVE if item.sensitive else literal(item.value)}")
        return
    if name not in outputs:
        known = ", ".join(sorted(outputs)) or "none"
        raise click.ClickException(f"There is no output {name!r} in the state. Outputs: {known}.")
    item = outputs[name]
    if item.sensitive and is_fingerprint(item.value):
        raise click.ClickException(
            f"Output {name!r} is sensitive: the state holds only its fingerprint, since it is not encrypted. "
            "Read it where it comes from."
        )
    if raw:
        if not isinstance(item.value, str | int | float | bool):
            raise click.ClickException(f"Output {name!r} is not a string or a number. Use -json.")
        put_exact(item.value if isinstance(item.value, str) else json_module.dumps(item.value))
        return
    say_text(json_module.dumps(item.value, ensure_ascii=False, default=str) if json else literal(item.value))
