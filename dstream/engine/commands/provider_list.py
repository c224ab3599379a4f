"""Provider list: the providers that are configured, locked, cached and installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError
from dstream.engine.commands.dependency_lock import used_sources
from dstream.engine.setup.operation import Operation
from dstream.plugins import ProviderInfo, ProviderSource, probe, resolve
from dstream.plugins.binary import Role
from dstream.registry.lockfile.lock_file import read_lock
from dstream.registry.machine_records import default_records
from dstream.registry.oci.cache import default_cache

Location = Literal["configured", "locked", "cached", "installed"]
_PREFIXES: dict[str, Role] = {"dstream-in-": "input", "dstream-out-": "output", "dstream-resource-": "resource"}


class ListedProvider(Struct, frozen=True):
    """A provider in one place: configured, locked, cached or installed."""

    place: Location
    source: str
    name: str = ""
    version: str = ""
    kinds: tuple[str, ...] = ()
    protocol: int | None = None
    digest: str = ""
    note: str = ""
    """Why other fields are missing."""


def configured(operation: Operation) -> list[ListedProvider]:
    """Return the providers of a configuration; one that is not found has a note with the reason."""
    found = []
    for source in used_sources(operation):
        info, note = _probed(source, operation.root, ("input", "output", "resource"))
        found.append(_listed("configured", source.value, info, note))
    return found


def locked(root: Path) -> list[ListedProvider]:
    """Return the providers in the lock file of a folder."""
    found = []
    for source, each in read_lock(root).providers.items():
        probe_answer = each.probe or {}
        provider = probe_answer.get("provider") or {}
        found.append(
            ListedProvider(
                "locked",
                source,
                str(provider.get("name", "")),
                each.version or each.tag,
                tuple(probe_answer.get("roles") or ()),
                probe_answer.get("protocol"),
                each.manifest,
                f"for {', '.join(each.platforms)}",
            )
        )
    return found


def cached() -> list[ListedProvider]:
    """Return the providers whose content is in the cache."""
    cache = default_cache()
    return [
        ListedProvider("cached", reference, version=reference.rpartition(":")[2], digest=digest)
        for reference, digest in cache.refs()
        if cache.has(digest)
    ]


def installed() -> list[ListedProvider]:
    """Return the installed programs named dstream-in-..., dstream-out-... and dstream-resource-...."""
    folders = [str(Path(sys.executable).parent)]
    folders += [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    found: dict[str, ListedProvider] = {}
    for folder in folders:
        for prefix, role in _PREFIXES.items():
            for path in sorted(Path(folder).glob(f"{prefix}*")):
                if path.name not in found and path.is_file() and os.access(path, os.X_OK):
                    source = ProviderSource("path", str(path))
                    info, note = _probed(source, Path.cwd(), (role,))
                    found[path.name] = _listed("installed", path.name, info, note)
    return [found[name] for name in sorted(found)]


def _probed(source: ProviderSource, root: Path, roles: tuple[Role, ...]) -> tuple[ProviderInfo | None, str]:
    note = ""
    for role in roles:
        try:
            return probe(resolve(source, root, role), records=default_records() if source.kind != "path" else None), ""
        except DiagnosticsError as problem:
            note = note or problem.diagnostics[0].summary
    return None, note


def _listed(place: Location, source: str, info: ProviderInfo | None, note: str) -> ListedProvider:
    if info is None:
        return ListedProvider(place, source, note=note)
    return ListedProvider(place, source, info.name, info.version, tuple(sorted(info.roles)), info.protocol, info.digest)
