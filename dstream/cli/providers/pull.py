"""`dstream providers pull`."""

from __future__ import annotations

import click

from dstream.cli.options import Command, option
from dstream.cli.render.paint import say


@click.command("pull", cls=Command)
@click.argument("reference", nargs=-1, required=True)
@option("platform", metavar="OS_ARCH", help="For another platform than this machine's, as linux_arm64.")
@option("version", metavar="CONSTRAINT", default="", help='Of a reference without tag: which versions, as "~> 1.2".')
def command(reference: tuple[str, ...], platform: str | None, version: str) -> None:
    """Fetch providers into the cache, checked by digest; nothing is executed, and no lock file is written."""
    from dstream.cli.render.loading import Loading
    from dstream.registry.install import Wanted, installer
    from dstream.registry.platforms import parse_platform

    here = installer(Loading())
    for text in reference:
        locked = here.lock(Wanted(text, version))
        path = here.fetch(locked, parse_platform(platform) if platform else None)
        say(f"{text} {locked.tag}".rstrip() + f"\n  manifest  {locked.manifest}")
        for name, digest in locked.platforms.items():
            say(f"  {name:<14} {digest}")
        say(f"  cached as {path}")
