"""Dependency lock: selects, fetches and probes the providers of a configuration, and writes the lock file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.commands.provider_inventory import unknown_scope
from dstream.engine.evaluate.expansion import lenient_instances
from dstream.engine.providers.provider_config import default_spec, source_from_state, source_of
from dstream.engine.providers.trust_policy import policies_of
from dstream.engine.setup.block_graph import provider_of
from dstream.engine.setup.operation import Operation
from dstream.plugins import Binary, ProviderSource
from dstream.plugins.container import Container, Image, find_engine, find_image, is_podman, pull_first
from dstream.plugins.probe import ask, recorded_answer
from dstream.registry.errors import Denied, NotThere, RegistryError, Unreachable
from dstream.registry.lockfile.installer import Installer, Requirement, signed_by
from dstream.registry.lockfile.lock_file import Locked, LockedImage, LockFile, read_lock, write_lock
from dstream.registry.machine_records import default_records
from dstream.registry.oci.image_names import image_name, image_reference, references_of, suffix_of
from dstream.registry.platforms import Platform
from dstream.registry.trust.policy import Policy
from dstream_state import Intent, Snapshot, overlay


class LockChange(Struct, frozen=True):
    """A new lock file and its differences from the old one."""

    lock: LockFile
    changed: bool
    added: tuple[str, ...] = ()
    """Sources that were not locked before."""
    upgraded: Mapping[str, str] | None = None
    """The previous version of each source whose content changed."""
    removed: tuple[str, ...] = ()


def used_sources(operation: Operation) -> list[ProviderSource]:
    """Return the sources of a configuration's providers without resolving them; values may be unknown.

    Open `operation` with `lint`, so that variables that only a provider needs may be unset.
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


def prior_sources(operation: Operation) -> list[ProviderSource]:
    """Return the registry sources of recorded objects, whose blocks may no longer exist."""
    view = operation.backend.read()
    snapshot = overlay(view.snapshot or Snapshot.new(view.lineage), view.pending)
    used = {each.provider for each in snapshot.resources.values()}
    used.update(each.provider for each in view.pending if isinstance(each, Intent))
    recorded = [each for name, each in snapshot.providers.items() if name in used]
    found = [source_from_state(each, operation.config) for each in recorded]
    return [source for source in found if source.kind in ("ref", "image")]


def required_providers(operation: Operation, recorded: Iterable[ProviderSource] = ()) -> list[Requirement]:
    """Return the registry sources of a configuration, each once, with its version constraints.

    `recorded` sources that the configuration does not name keep their locked versions.
    """
    settings = operation.config.settings
    constraints: dict[str, list[str]] = {}
    for required in settings.required_providers.values() if settings is not None else ():
        given = constraints.setdefault(required.source, [])
        if required.version and required.version not in given:
            given.append(required.version)
    requirements: dict[str, Requirement] = {}
    for source in used_sources(operation):
        if source.kind == "ref":
            given = constraints.get(source.value, [])
            policies = policies_of(source, operation.config)
            requirements[source.value] = Requirement(source.value, ", ".join(given), policies)
    before = read_lock(operation.root)
    for source in recorded:
        if source.kind == "ref" and source.value not in requirements:
            known = before.providers.get(source.value)
            constraint = known.constraints if known is not None else ""
            requirements[source.value] = Requirement(source.value, constraint, source.trusted, recorded=True)
    return list(requirements.values())


class RequiredImage(Struct, frozen=True):
    """A container image in a configuration, and the policies for its signatures."""

    source: ProviderSource
    policies: tuple[Policy, ...] = ()
    recorded: bool = False
    """Whether only the state refers to it."""


def required_images(operation: Operation, recorded: Iterable[ProviderSource] = ()) -> list[RequiredImage]:
    """Return the images of a configuration, and the `recorded` ones that it does not name."""
    images = [source for source in used_sources(operation) if source.kind == "image"]
    found = [RequiredImage(source, policies_of(source, operation.config)) for source in images]
    named = {source.value for source in images}
    unnamed = {each.value: each for each in recorded if each.kind == "image" and each.value not in named}
    return found + [RequiredImage(source, source.trusted, recorded=True) for source in unnamed.values()]


def lock_providers(
    root: Path,
    requirements: Iterable[Requirement],
    installer: Installer,
    *,
    upgrade: bool = False,
    readonly: bool = False,
    keep_others: bool = False,
    images: Iterable[RequiredImage] = (),
    pull: bool = False,
) -> LockChange:
    """Choose, fetch and probe what is wanted, and write the lock file of `root`; raise DiagnosticsError otherwise.

    Entries of other sources are removed, unless `keep_others`. With `readonly`, a lock file that would have to change
    is an error, and is left as it is. Images are pulled where they are missing, with `pull` also where a newer one may
    be there; one that was built on this machine, and is in no registry, is not locked.
    """
    before = read_lock(root)
    now = before if keep_others else replace(before, providers={}, images={})
    problems: list[Diagnostic] = []
    for each in requirements:
        previous = before.providers.get(each.source)
        try:
            locked = installer.lock(each, previous, upgrade=upgrade)
            now = now.with_provider(_probed(locked, installer, root))
        except DiagnosticsError as problem:
            problems.extend(_explained(problem, each.recorded))
    for required_image in images:
        try:
            previous_image = before.images.get(required_image.source.value)
            image = _image(required_image, previous_image, installer, root, upgrade=upgrade, pull=pull)
            now = now.with_image(image) if image is not None else now
        except DiagnosticsError as problem:
            problems.extend(_explained(problem, required_image.recorded))
    if problems:
        raise DiagnosticsError(problems)
    result = _compared(before, now)
    if readonly:
        if now.text() != before.text():
            raise DiagnosticsError(error("Outdated lock file", _difference(result)))
        return result
    return replace(result, changed=write_lock(root, now))


def _explained(problem: DiagnosticsError, recorded: bool) -> list[Diagnostic]:
    """Return the diagnostics; those of a source that only the state names explain how to remove it."""
    hint = (
        " The configuration does not name it any more, but the state has objects of it. If they are not to be managed "
        "any more, forget them with: dstream state rm"
    )
    return [replace(each, detail=each.detail + hint) if recorded else each for each in problem.diagnostics]


def _probed(locked: Locked, installer: Installer, root: Path) -> Locked:
    """Fetch a provider and probe it, unless this machine has probed the same content."""
    installer.fetch(locked)  # again if the cache was damaged
    path = installer.executable(locked)
    digest = locked.platforms[str(installer.platform)]
    binary = Binary((str(path),), ProviderSource("ref", locked.source), digest, str(root.absolute()))
    return replace(locked, probe=_answer(binary))


def _answer(binary: Binary) -> Mapping[str, Any] | None:
    """Return a provider's answer to the probe, as recorded on this machine or asked now; None if it is uncertain."""
    records = default_records()
    answer = recorded_answer(binary, records)
    if answer is not None:
        return answer
    found, certain = ask(binary, records=records)
    return found if certain else None


def _image(
    image: RequiredImage, previous: LockedImage | None, installer: Installer, root: Path, *, upgrade: bool, pull: bool
) -> LockedImage | None:
    """Pull and probe an image and return its lock entry; None for an image that exists only on this machine."""
    source = image.source
    engine, name = find_engine(), source.value
    if previous is not None and not upgrade:
        signer = _signer(image, previous.digest, installer)
        places = [f"{place}@{previous.digest}" for place in references_of(name, installer.settings)]
        here = (find_image(engine, each) for each in (f"{image_name(name)}@{previous.digest}", *places))
        found = next(filter(None, here), None) or find_image(engine, _pull(engine, places, installer))
        return replace(previous, signed_by=signer, probe=_image_answer(source, engine, found, root))
    found = find_image(engine, name)
    if found is None or ((pull or upgrade) and found.digests):
        references = references_of(name, installer.settings, newest=upgrade)
        name = _pull(engine, [f"{place}{suffix_of(name)}" for place in references], installer)
        found = find_image(engine, name)
    digests = found.digests_at(image_name(name)) if found is not None else ()
    if found is None or not digests:
        return None
    digest = digests[0]
    if len(digests) > 1 or is_podman(engine):  # which gives digests to what is in no registry, too
        digest = _current_digest(source.value, installer, upgrade) or digest
        if digest not in digests:
            requirements = [f"{place}@{digest}" for place in references_of(source.value, installer.settings)]
            found = find_image(engine, _pull(engine, requirements, installer)) or found
    signer = _signer(image, digest, installer)
    return LockedImage(source.value, digest, signer, _image_answer(source, engine, found, root))


def _image_answer(source: ProviderSource, engine: str, found: Image | None, root: Path) -> Mapping[str, Any] | None:
    if found is None:
        return None
    container = Container(engine, found.id, source.container, root.absolute())
    return _answer(Binary((engine, source.value), source, found.id, str(root.absolute()), None, container))


def _pull(engine: str, names: list[str], installer: Installer) -> str:
    """Pull an image under the first name that works; return that name."""
    if installer.settings.offline:
        raise Unreachable("Offline", f"{names[-1]} is not on this machine, nor pulled, since DSTREAM_OFFLINE is set.")
    return pull_first(engine, names)


def _current_digest(image: str, installer: Installer, newest: bool) -> str | None:
    """Return the current digest of an image's tag, None if no registry has it. `newest` is as in `source_of`."""
    reference = image_reference(image)
    if reference.digest:
        return reference.digest
    try:
        source = installer.source(reference.registry, newest=newest)
        return source.manifest(reference.repository, reference.tag or "latest").digest
    except (Unreachable, Denied) as problem:
        if newest and isinstance(problem, Unreachable):
            raise
        return None
    except NotThere as problem:
        raise RegistryError(
            "Image not in its registry",
            f"{image} is on this machine, and {source.place} does not have it. Push it. For an image that only this "
            "machine uses, choose a name without a registry: localhost/NAME.",
        ) from problem


def _signer(image: RequiredImage, digest: str, installer: Installer) -> str:
    """Return the signer of an image for the lock file; raise RegistryError if a signature is missing."""
    if not image.policies:
        return ""
    reference = image_reference(image.source.value).at(digest=digest)
    return signed_by(image.policies, installer.require_signed(reference, image.policies))


def fetch_platforms(lock: LockFile, platforms: Iterable[Platform], installer: Installer) -> None:
    """Fetch the executables of a lock file for several platforms into the cache."""
    for locked in lock.providers.values():
        for platform in platforms:
            installer.fetch(locked, platform)


def _compared(before: LockFile, now: LockFile) -> LockChange:
    old, new = (
        {
            **{s: (e.manifest, e.version or e.tag) for s, e in lock.providers.items()},
            **{s: (e.digest, e.digest) for s, e in lock.images.items()},
        }
        for lock in (before, now)
    )
    return LockChange(
        now,
        False,
        tuple(sorted(new.keys() - old.keys())),
        {source: old[source][1] for source in sorted(old.keys() & new.keys()) if old[source][0] != new[source][0]},
        tuple(sorted(old.keys() - new.keys())),
    )


def _difference(result: LockChange) -> str:
    parts = [f"{source} is not in it" for source in result.added]
    parts += [f"{source} would be another than {version}" for source, version in (result.upgraded or {}).items()]
    parts += [f"{source} is no longer used" for source in result.removed]
    what = "; ".join(parts) or "its text is not what it would be"
    return (
        f"-lockfile=readonly was given, and .dstream.lock.hcl does not fit the configuration: {what}. "
        "Run dstream init without it, look at the difference, and commit the file."
    )
