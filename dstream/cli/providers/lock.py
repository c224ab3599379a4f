"""`dstream providers lock`."""

from __future__ import annotations

import click

from dstream.cli.options import Command, config_options, flag, option
from dstream.cli.render.paint import say


@click.command("lock", cls=Command)
@config_options
@flag("upgrade", help="Lock the newest versions that the constraints allow, and the present digests of tags.")
@option("lockfile", metavar="MODE", help="readonly: fail if the lock file would change.")
@option("platform", metavar="OS_ARCH", multiple=True, help="Also fetch for this platform, such as linux_arm64.")
def command(
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    upgrade: bool,
    lockfile: str | None,
    platform: tuple[str, ...],
) -> None:
    """Write the dependency lock file. The state does not change.

    The digests of all platforms are always locked; -platform also fetches, for a shared cache.
    """
    from dstream.cli.dependency_lock import lenient, lock
    from dstream.cli.render.download_progress import DownloadProgress
    from dstream.engine.commands.dependency_lock import fetch_platforms
    from dstream.registry.lockfile.installer import installer
    from dstream.registry.platforms import parse_platform

    result = lock(lenient(config, var, var_file), upgrade=upgrade, mode=lockfile, recorded=None)
    fetch_platforms(result.lock, [parse_platform(each) for each in platform], installer(DownloadProgress()))
    if not result.changed:
        say("The lock file is up to date.")
