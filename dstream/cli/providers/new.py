"""`dstream providers new`."""

from __future__ import annotations

from pathlib import Path

import click

from dstream.cli.options import Command, option
from dstream.cli.render.paint import say, say_text


@click.command("new", cls=Command)
@click.argument("name")
@option("kind", type=click.Choice(["in", "out", "resource"]), default="in", help="Input (default), output or resource.")
@option("lang", type=click.Choice(["python", "bash"]), default="python", help="Default: python.")
@option("folder", metavar="DIR", type=click.Path(path_type=Path), help="Default: dstream-KIND-NAME.")
def command(name: str, kind: str, lang: str, folder: Path | None) -> None:
    """Create a provider package with working code, tests, README, Containerfile, compose file and CI."""
    from dstream import scaffold

    target = folder or Path(f"dstream-{kind}-{name}")
    for path in scaffold.make(name, kind, lang, target):  # type: ignore[arg-type]  # among the choices
        say(f"  {path}")
    test = "python -m pytest" if lang == "python" else "bash tests/run.sh"
    say_text(f"\nNext: cd {target} && {test}")
