"""`dstream providers pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.options import Command, option
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from dstream.registry.platforms import Platform
    from dstream.registry.pulumi_archives import Archives
    from dstream.registry.pulumi_plugins import PluginReference


@click.command("pull", cls=Command)
@click.argument("reference", nargs=-1, required=True)
@option("platform", metavar="OS_ARCH", help="Platform, such as linux_arm64. Default: this machine's.")
@option(
    "version",
    metavar="CONSTRAINT",
    default="",
    help='For a reference without a tag: version constraint, such as "~> 1.2".',
)
def command(reference: tuple[str, ...], platform: str | None, version: str) -> None:
    """Fetch providers into the cache and verify their digests. Nothing is executed, and the lock file does not change.

    pulumi/NAME@VERSION is a Pulumi plugin: its archive is unpacked into Pulumi's plugin folder, and its checksum is
    added to the lock file of this folder.
    """
    from dstream.cli.render.download_progress import DownloadProgress
    from dstream.registry.lockfile.installer import Requirement, installer
    from dstream.registry.platforms import parse_platform
    from dstream.registry.pulumi_plugins import parse_plugin

    plugins = {text: found for text in reference if (found := parse_plugin(text)) is not None}
    if plugins and version:
        raise click.UsageError("-version works with registry references only. Write pulumi/NAME@VERSION.")
    here = installer(DownloadProgress())
    for text, plugin in plugins.items():
        _pull_plugin(text, plugin, parse_platform(platform) if platform else None)
    for text in (each for each in reference if each not in plugins):
        locked = here.lock(Requirement(text, version))
        path = here.fetch(locked, parse_platform(platform) if platform else None)
        say_text(f"{text} {locked.tag}".rstrip() + f"\n  manifest  {locked.manifest}")
        for name, digest in locked.platforms.items():
            say(f"  {name:<14} {digest}")
        say(f"  cached as {path}")


def _pull_plugin(text: str, plugin: PluginReference, platform: Platform | None) -> None:
    from dstream.registry.lockfile.lock_file import LOCK_FILE
    from dstream.registry.pulumi_plugins import pull_plugin

    pulled = pull_plugin(plugin, Path.cwd(), plugin_archives(), platform)
    say_text(f"{text}\n  archive   {pulled.digest} (locked in {LOCK_FILE})")
    say(f"  {'unpacked to' if pulled.fetched else 'already unpacked:'} {pulled.folder}")


def plugin_archives() -> Archives:
    """Return the sources of Pulumi plugins on this machine."""
    import os

    from dstream.cli.render.download_progress import DownloadProgress
    from dstream.registry.oci.transport import Transport
    from dstream.registry.pulumi_archives import archives
    from dstream.registry.settings import load_settings

    settings = load_settings()
    return archives(settings, os.environ, Transport(settings), DownloadProgress())
