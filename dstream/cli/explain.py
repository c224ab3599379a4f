"""`dstream explain`."""

from __future__ import annotations

import click

from dstream.cli.options import Command, flag
from dstream.cli.render.paint import say_text


@click.command("explain", cls=Command)
@click.argument("code")
@flag("json", help="Print the answer as JSON.")
def command(code: str, json: bool) -> int:
    """Show what an error code such as DS1203 means."""
    from dstream.error_codes import explain

    found = explain(code)
    if found is None:
        raise click.ClickException(
            f"There is no error code {code!r}. Codes look like DS1203; docs/errors.md lists them."
        )
    if json:
        from dstream.cli.render.formats import say_json

        say_json({"code": found.code, "summary": found.summary, "meaning": found.meaning, "group": found.group})
    else:
        say_text(f"{found.code}: {found.summary}\n\n{found.meaning}\n\nGroup: {found.group}")
    return 0
