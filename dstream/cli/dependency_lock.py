"""The dependency lock file, for the commands `init`, `providers lock` and `providers pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dstream.cli.open_operation import operation_inputs
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dstream.engine.commands.dependency_lock import LockChange
    from dstream.engine.setup.operation import Operation
    from dstream.plugins import ProviderSource


def lenient(config: str, var: tuple[str, ...], var_file: tuple[str, ...]) -> Operation:
    """Open a configuration without the variables that only its providers need."""
    from dstream.engine.setup.operation import open_operation

    return open_operation(operation_inputs(config, var, var_file), lint=True)


def lock(
    operation: Operation,
    *,
    upgrade: bool,
    mode: str | None,
    recorded: Sequence[ProviderSource] | None,
    pull: bool = False,
) -> LockChange:
    """Update the lock file and print the result; raise ClickException for an unknown mode.

    `recorded` are sources that only the state needs; None keeps all entries of the lock file.
    """
    from dstream.cli.render.download_progress import DownloadProgress
    from dstream.engine.commands.dependency_lock import lock_providers, required_images, required_providers
    from dstream.registry.lockfile.installer import installer

    if mode not in (None, "readonly"):
        raise click.BadParameter(f"{mode!r} is not a mode; use readonly", param_hint="-lockfile")
    if mode and upgrade:
        raise click.UsageError("-upgrade cannot be combined with -lockfile=readonly.")
    required = required_providers(operation, recorded or ())
    images = required_images(operation, recorded or ())
    result = lock_providers(
        operation.root,
        required,
        installer(DownloadProgress()),
        upgrade=upgrade,
        readonly=mode == "readonly",
        keep_others=recorded is None,
        images=images,
        pull=pull,
    )
    for each in required:
        locked = result.lock.providers[each.source]
        before = (result.upgraded or {}).get(each.source)
        how = "locked" if each.source in result.added else f"was {before}" if before else "unchanged"
        signed = f", signed by {locked.signed_by}" if locked.signed_by else ""
        signed += ", for objects that only the state has" if each.recorded else ""
        say(f"Provider {each.source}: {locked.version or locked.tag or locked.manifest} ({how}{signed})")
    for image in images:
        name, entry = image.source.value, result.lock.images.get(image.source.value)
        signed = f" (signed by {entry.signed_by})" if entry is not None and entry.signed_by else ""
        say(f"Image {name}: {entry.digest if entry is not None else 'built on this machine, not locked'}{signed}")
    for source in result.removed:
        say(f"Provider {source}: no longer locked")
    if result.changed:
        say_text(
            "\nUpdated .dstream.lock.hcl. Commit it to version control, so that every run uses the same providers.\n"
        )
    return result
