"""Locking: what a configuration wants from registries, chosen, fetched, asked what it is, and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.blocks import provider_of
from dstream.engine.expansion import lenient_instances
from dstream.engine.inventory import unknown_scope
from dstream.engine.operation import DATA_DIR, Operation
from dstream.engine.providers import default_spec, source_of
from dstream.plugins import Binary, ProviderSource
from dstream.plugins.probe import ask
from dstream.registry.install import Installer, Wanted
from dstream.registry.lockfile import Locked, LockFile, read_lock, write_lock
from dstream.registry.platforms import Platform


@dataclass(frozen=True, slots=True)
class Locking:
    """What became of the lock file."""

    lock: LockFile
    changed: bool
    added: tuple[str, ...] = ()
    """Sources that were not locked before."""
    upgraded: Mapping[str, str] | None = None
    """The version before, for each source that is locked to other content now."""
    removed: tuple[str, ...] = ()


def used_sources(operation: Operation) -> list[ProviderSource]:
    """Return where the providers of a configuration come from, without finding any; values may be unknown.

    `operation` is best opened for lint, so that nothing need be set that only a provider would need.
    """
    config, scope = operation.config, unknown_scope(operation)
    found: dict[ProviderSource, None] = {}
    problems: list[Diagnostic] = []
    for name, block in config.providers.items():
        _add(found, problems, partial(source_of, block.launch, scope, config, name))
    for resource in config.resources.values():
        name = provider_of(resource)
        if name not in config.providers:
            found[default_spec(name, resource, config).source] = None
    for task in config.tasks.values():
        for _, extra in lenient_instances(task.for_each, task.count, scope):
            inner = scope.bind(extra)
            for side in (task.input, *task.outputs):
                _add(found, problems, partial(source_of, side.launch, inner, config))
    if problems:
        raise DiagnosticsError(problems)
    return list(found)


def _add(found: dict[ProviderSource, None], problems: list[Diagnostic], evaluate: Callable[[], ProviderSource]) -> None:
    try:
        found[evaluate()] = None
    except DiagnosticsError as problem:
        problems.extend(problem.diagnostics)


def wanted_providers(operation: Operation) -> list[Wanted]:
    """Return what a configuration wants from registries, each source once, with the versions it may have."""
    settings = operation.config.settings
    constraints: dict[str, list[str]] = {}
    for required in settings.required_providers.values() if settings is not None else ():
        given = constraints.setdefault(required.source, [])
        if required.version and required.version not in given:
            given.append(required.version)
    wanted: dict[str, Wanted] = {}
    for source in used_sources(operation):
        if source.kind == "ref":
            wanted[source.value] = Wanted(source.value, ", ".join(constraints.get(source.value, ())))
    return list(wanted.values())


def recorded_sources(operation: Operation) -> tuple[str, ...]:
    """Return the sources in registries that the state needs for objects whose blocks are gone."""
    snapshot = operation.backend.read().snapshot
    recorded = snapshot.providers.values() if snapshot is not None else ()
    return tuple(str(each.source["value"]) for each in recorded if each.source.get("kind") in ("ref", "image"))


def lock_providers(
    root: Path,
    wanted: Iterable[Wanted],
    installer: Installer,
    *,
    upgrade: bool = False,
    readonly: bool = False,
    keep: Iterable[str] | None = None,
) -> Locking:
    """Choose, fetch and probe what is wanted, and write the lock file of `root`; raise DiagnosticsError otherwise.

    Entries of other sources are removed unless they are in `keep`; None keeps all. With `readonly`, a lock file that
    would have to change is an error, and is left as it is.
    """
    before = read_lock(root)
    kept = before.providers if keep is None else {s: e for s, e in before.providers.items() if s in set(keep)}
    now = replace(before, providers=dict(kept))
    problems: list[Diagnostic] = []
    for each in wanted:
        previous = before.providers.get(each.source)
        try:
            locked = installer.lock(each, previous, upgrade=upgrade)
            now = now.with_provider(_probed(locked, previous, installer, root))
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    result = _compared(before, now)
    if readonly:
        if now.text() != before.text():
            raise DiagnosticsError(error("Lock file would change", _difference(result)))
        return result
    return replace(result, changed=write_lock(root, now))


def _probed(locked: Locked, previous: Locked | None, installer: Installer, root: Path) -> Locked:
    """Fetch a provider, and note what it says of itself, unless that is known of the same content."""
    installer.fetch(locked)  # anew where the cache was damaged
    path = installer.executable(locked)
    if previous is not None and previous.probe is not None and previous.manifest == locked.manifest:
        return replace(locked, probe=previous.probe)
    digest = locked.platforms[str(installer.platform)]
    binary = Binary((str(path),), ProviderSource("ref", locked.source), digest, str(root.absolute()))
    return replace(locked, probe=ask(binary, cache_dir=root / DATA_DIR))


def fetch_platforms(lock: LockFile, platforms: Iterable[Platform], installer: Installer) -> None:
    """Put the executables of a lock file for several platforms into the cache."""
    for locked in lock.providers.values():
        for platform in platforms:
            installer.fetch(locked, platform)


def _compared(before: LockFile, now: LockFile) -> Locking:
    both = before.providers.keys() & now.providers.keys()
    return Locking(
        now,
        False,
        tuple(sorted(now.providers.keys() - before.providers.keys())),
        {
            source: before.providers[source].version or before.providers[source].tag
            for source in sorted(both)
            if before.providers[source].manifest != now.providers[source].manifest
        },
        tuple(sorted(before.providers.keys() - now.providers.keys())),
    )


def _difference(result: Locking) -> str:
    parts = [f"{source} is not in it" for source in result.added]
    parts += [f"{source} would be {result.lock.providers[source].version}" for source in result.upgraded or ()]
    parts += [f"{source} is no longer used" for source in result.removed]
    what = "; ".join(parts) or "its text is not what it would be"
    return (
        f"-lockfile=readonly was given, and .dstream.lock.hcl does not fit the configuration: {what}. "
        "Run dstream init without it, look at the difference, and commit the file."
    )
