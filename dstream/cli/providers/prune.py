"""`dstream providers prune`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dstream.cli.options import Command, flag, option
from dstream.cli.render.paint import say

_DAY = 86400


@click.command("prune", cls=Command)
@option("unused-for", metavar="DAYS", type=click.IntRange(min=0), default=30, help="Default: 30 days.")
@flag("dry-run", help="Only print what would be removed.")
def command(unused_for: int, dry_run: bool) -> None:
    """Remove providers and manifests from the cache that were not used for some time.

    Entries of the current folder's lock file are kept, and what is recorded of their content. Removed providers can be
    fetched again. What this machine has recorded of others (answers, verified signatures) and not used for as long is
    removed too, and found out again when needed.
    """
    from dstream.registry.lockfile.installer import use_records
    from dstream.registry.lockfile.lock_file import read_lock
    from dstream.registry.machine_records import default_records
    from dstream.registry.oci.cache import default_cache

    cache, lock = default_cache(), read_lock(Path())
    kept = {digest for each in lock.providers.values() for digest in (each.manifest, *each.platforms.values())}
    limit = time.time() - unused_for * _DAY
    freed = count = 0
    found = cache.content()
    for each in found:
        if each.digest in kept or each.used > limit:
            continue
        count, freed = count + 1, freed + each.size
        say(f"{'would remove' if dry_run else 'removed'} {each.digest}{f' ({each.name})' if each.name else ''}")
        if not dry_run:
            cache.remove(each.digest)
    if not dry_run:
        freed += cache.drop_unfinished(limit)
        records = default_records()
        for provider in lock.providers.values():
            use_records(records, provider)
        for image in lock.images.values():
            use_records(records, image)
        records.drop_unused(limit)
    say(f"{count} of {len(found)} {'would be ' if dry_run else ''}removed, {freed / 1048576:.1f} MiB")
