"""`dstream providers mirror`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.options import Command, option
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from dstream.registry.lockfile.lock_file import LockedPlugin
    from dstream.registry.platforms import Platform


@click.command("mirror", cls=Command)
@click.argument("target")
@click.option("-c", "-config", "--config", "config", metavar="PATH", default=".", help="Configuration file or folder.")
@option("platform", metavar="OS_ARCH", multiple=True, help="For a folder: copy only this platform.")
def command(target: str, config: str, platform: tuple[str, ...]) -> None:
    """Copy everything in the lock file to a folder (/srv/mirror, ./mirror) or a registry (HOST/PREFIX).

    Content is copied unchanged, so the lock file also holds for the mirror. Docker and Podman pull images only from a
    registry; to move them from a folder into one, run this command again. Pulumi plugins are copied to folders only.
    """
    from dstream.cli.render.download_progress import DownloadProgress
    from dstream.registry.lockfile.installer import installer
    from dstream.registry.lockfile.lock_file import read_lock
    from dstream.registry.mirror import mirror, mirror_image, target_of
    from dstream.registry.mirror_names import is_folder
    from dstream.registry.oci.image_names import image_reference
    from dstream.registry.oci.reference import parse_reference
    from dstream.registry.oci.transport import Transport
    from dstream.registry.platforms import parse_platform
    from dstream.registry.settings import load_settings

    root = Path(config) if Path(config).is_dir() else Path(config).parent
    lock = read_lock(root)
    if not lock.providers and not lock.images and not lock.plugins:
        raise click.ClickException(f"{root}/.dstream.lock.hcl names no providers. To write it, run: dstream init")
    platforms = [parse_platform(each) for each in platform] or None
    here, transport = installer(DownloadProgress()), Transport(load_settings())
    for locked in lock.providers.values():
        copied = mirror(here, locked, target_of(target, parse_reference(locked.source), transport), platforms)
        say(f"{locked.source} {locked.tag}: {copied.digest}")
    for image in lock.images.values():
        top = mirror_image(here, image, target_of(target, image_reference(image.source), transport), platforms)
        say(f"{image.source}: {top.digest}")
    for plugin in lock.plugins.values():
        _plugin(plugin, target, platforms)
    shown = Path(target).expanduser().absolute() if is_folder(target) else target
    say_text(
        "\nTo use only this mirror, add to ~/.dstream/config.hcl:\n\n"
        f'  registry "*" {{\n    mirrors      = ["{shown}"]\n    only_mirrors = true\n  }}'
    )
    if lock.images and is_folder(target):
        say_text(
            "\nNo container engine gets images from a folder. Where the folder is such a mirror, bring them into a "
            "registry with\n\n  dstream providers mirror HOST/PREFIX\n\nand name that as a mirror too."
        )
    if lock.plugins and is_folder(target):
        names = " ".join(lock.plugins)
        say_text(f"\nTo fetch Pulumi plugins from it, run:\n\n  dstream providers pull {names}")


def _plugin(plugin: LockedPlugin, target: str, platforms: list[Platform] | None) -> None:
    """Copy the archives of a Pulumi plugin to a folder; print that a registry does not get them."""
    from dstream.cli.providers.pull import plugin_archives
    from dstream.registry.mirror_names import is_folder
    from dstream.registry.pulumi_plugins import mirror_plugin

    if not is_folder(target):
        say(f"{plugin.source}: not copied. Pulumi plugins are mirrored to folders: dstream providers mirror ./FOLDER")
        return
    copied = mirror_plugin(plugin, target, plugin_archives(), platforms)
    say(f"{plugin.source}: {', '.join(copied) or 'not locked for these platforms'}")
