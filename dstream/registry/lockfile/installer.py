"""Installer: resolves required providers to lock entries, and lock entries to executable files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.registry.errors import NotThere, RegistryError, Tampered, Unreachable
from dstream.registry.lockfile.lock_file import Locked, LockedImage
from dstream.registry.lockfile.version_constraints import newest, parse_constraint, parse_version, versions_of
from dstream.registry.machine_records import MachineRecords, default_records
from dstream.registry.oci.artifact import Artifact, read_artifact
from dstream.registry.oci.cache import Cache, default_cache
from dstream.registry.oci.content import Manifest, matches
from dstream.registry.oci.reference import Reference, parse_reference
from dstream.registry.platforms import Platform, this_platform
from dstream.registry.settings import Settings, load_settings
from dstream.registry.trust.policy import Policy, Signer
from dstream.registry.trust.verified import remember_signer, verified_signers

if TYPE_CHECKING:
    from dstream.registry.oci.mirror_chain import Chain
    from dstream.registry.oci.transport import Transport

Report = Callable[[str, int, int], None]
"""Called during a download with its name, the bytes received and the total bytes."""


_VERSION = "org.opencontainers.image.version"


class Requirement(Struct, frozen=True):
    """A provider that a configuration requires: a reference, or a source with version constraints."""

    source: str
    constraints: str = ""
    policies: tuple[Policy, ...] = ()
    """The policies for its signatures."""
    recorded: bool = False
    """Whether only the state refers to it."""

    @property
    def reference(self) -> Reference:
        """The source as a reference."""
        return parse_reference(self.source)


class Installer(Struct):
    """Reads registries and mirrors, fills the cache."""

    settings: Settings
    cache: Cache
    report: Report | None = None
    platform: Platform = field(default_factory=this_platform)
    records: MachineRecords = field(default_factory=default_records)
    _transport: Transport | None = None
    _sources: dict[tuple[str, bool], Chain] = field(default_factory=dict)

    def source(self, registry: str, *, newest: bool = False) -> Chain:
        """Return the source for the content of a registry; `newest` is as in `source_of`."""
        if (registry, newest) not in self._sources:
            # The HTTP library takes longer to load than a cached provider to find.
            from dstream.registry.oci.mirror_chain import source_of
            from dstream.registry.oci.transport import Transport

            self._transport = self._transport or Transport(self.settings)
            self._sources[registry, newest] = source_of(registry, self.settings, self._transport, newest=newest)
        return self._sources[registry, newest]

    # What to lock

    def lock(self, requirement: Requirement, previous: Locked | None = None, *, upgrade: bool = False) -> Locked:
        """Return the lock entry of a provider: the previous one, unless it no longer matches or `upgrade` is set.

        With `upgrade` the registry itself is queried before its mirrors, otherwise mirrors first. Raise RegistryError
        if a tag has other content than the locked one.
        """
        reference = requirement.reference
        keep = previous if previous is not None and not upgrade and self._fits(requirement, previous) else None
        if keep is not None:
            self._check_tag(reference, keep)
            manifest = self.manifest(reference.at(digest=keep.manifest))
            tag = keep.tag
        else:
            tag = reference.tag or ""
            if not reference.digest and not tag:
                tag = self._newest(reference, requirement.constraints, upgrade)
            manifest = self.manifest(reference if reference.digest else reference.at(tag=tag), newest=upgrade)
        artifact = self.artifact(reference, manifest)
        # For a tag such as latest, or a digest, an annotation of the publisher gives the version.
        version = parse_version(tag) or parse_version(manifest.annotations.get(_VERSION, ""))
        digests = {str(platform): each.digest for platform, each in sorted(artifact.executables.items())}
        if keep is not None and digests != dict(keep.platforms):
            raise RegistryError(
                "Lock file conflict",
                f"The manifest {keep.manifest} of {requirement.source} lists other executables than the lock file. "
                "A digest identifies its content, so one of the two was edited. Restore the lock file from version "
                "control, or delete its entry and run: dstream init",
            )
        signers = self.require_signed(reference.at(digest=manifest.digest), requirement.policies)
        probe = keep.probe if keep is not None else None
        return Locked(
            requirement.source,
            manifest.digest,
            digests,
            str(version or ""),
            tag,
            requirement.constraints,
            signed_by(requirement.policies, signers),
            probe,
        )

    def artifact(self, reference: Reference, manifest: Manifest) -> Artifact:
        """Return the artifact of a manifest."""
        from dstream.registry.oci.cache_first import CacheFirst

        return read_artifact(CacheFirst(self.cache, self.source(reference.registry)), reference.repository, manifest)

    def _fits(self, requirement: Requirement, previous: Locked) -> bool:
        reference = requirement.reference
        if reference.digest:
            return previous.manifest == reference.digest
        if reference.tag:
            return previous.tag == reference.tag
        version = parse_version(previous.tag)
        return version is not None and parse_constraint(requirement.constraints).allows(version)

    def _check_tag(self, reference: Reference, locked: Locked) -> None:
        """Raise RegistryError if the tag of a lock entry has another digest now."""
        if reference.digest or not locked.tag:
            return
        tagged = reference.at(tag=locked.tag)
        try:
            found = self.source(reference.registry).manifest(reference.repository, locked.tag)
            if found.digest != locked.manifest:  # a mirror may not know yet what -upgrade has found in the registry
                found = self.source(reference.registry, newest=True).manifest(reference.repository, locked.tag)
        except (Unreachable, NotThere):
            return  # the content is named by its digest; whether it can be had shows when it is fetched
        self.cache.keep(found.raw)
        self.cache.remember(tagged, found.digest)
        if found.digest != locked.manifest:
            raise RegistryError(
                "Changed provider version",
                f"{tagged} was {locked.manifest} when it was locked and is {found.digest} now: the tag was moved. "
                "If the publisher intended this, accept it with: dstream init -upgrade. Until then, dstream "
                "uses the locked content.",
            )

    def _newest(self, reference: Reference, constraints: str, upgrade: bool) -> str:
        constraint = parse_constraint(constraints)
        try:
            tags = self.source(reference.registry, newest=upgrade).tags(reference.repository)
            where = reference.name
        except Unreachable:
            if upgrade:
                raise  # what the cache has is no newer version
            tags = [tag for tag in self.cache.tags(reference) if self._cached(reference.at(tag=tag)) is not None]
            if not tags:
                raise
            where = "the cache"
        found = newest(tags, constraint)
        if found is None:
            there = ", ".join(each.tag for each in versions_of(tags)[-20:]) or "none of the form MAJOR.MINOR.PATCH"
            criterion = f"matches {constraints!r}" if constraints else "is a release"
            detail = f"No version of {reference.name} {criterion}. Versions in {where}: {there}."
            raise RegistryError("No matching version", detail)
        return found.tag

    def manifest(self, reference: Reference, *, newest: bool = False) -> Manifest:
        """Return a manifest: by digest from the cache if possible, by tag from the registry.

        `newest` is as in `source_of`.
        """
        if reference.digest:
            cached = self.cache.manifest(reference.digest)
            if cached is not None:
                return cached
        try:
            found = self.source(reference.registry, newest=newest).manifest(
                reference.repository, reference.identifier or ""
            )
        except Unreachable:
            cached = self._cached(reference)
            if cached is None or newest:
                raise
            return cached
        self.cache.keep(found.raw)
        if reference.tag and not reference.digest:
            self.cache.remember(reference, found.digest)
        return found

    def _cached(self, reference: Reference) -> Manifest | None:
        digest = self.cache.remembered(reference) if reference.tag else reference.digest
        return self.cache.manifest(digest) if digest else None

    # What to execute

    def reference_of(self, locked: Locked) -> Reference:
        """Return the reference of a locked provider by its digest."""
        return parse_reference(locked.source).at(digest=locked.manifest)

    def require_signed(self, reference: Reference, policies: tuple[Policy, ...]) -> tuple[Signer, ...]:
        """Return a signer by each policy for a manifest by digest; raise RegistryError if a signature is missing.

        What this machine has verified before is not verified again, so that no registry is needed. The lock file
        counts for nothing: anyone who can edit the configuration can edit it.
        """
        return tuple(self._signer(reference, policy) for policy in policies)

    def _signer(self, reference: Reference, policy: Policy) -> Signer:
        digest = reference.digest or ""
        for known in verified_signers(self.records, digest):
            if policy.accepts(known):
                return known
        try:
            signer = policy.verify(self.source(reference.registry), reference, self.manifest(reference))
        except Unreachable as problem:
            raise RegistryError(
                "Signature not verified",
                f"The trust block {policy.pattern!r} requires a signature of {reference}. This machine has not "
                f"verified it yet, and cannot fetch it: {problem.diagnostics[0].detail} Run dstream init once with "
                "access to the registry or a mirror; after that, no network is needed.",
            ) from problem
        remember_signer(self.records, digest, signer)
        return signer

    def executable(self, locked: Locked) -> Path:
        """Return the verified executable of a locked provider for this machine, fetched if necessary."""
        digest = self._digest(locked)
        self._check_listed(locked, self.platform)
        reference = parse_reference(locked.source)
        name = reference.repository.rpartition("/")[2] + (".exe" if self.platform.os == "windows" else "")
        path = self.cache.path(digest)
        if not path.exists():
            self.fetch(locked)
        return self.cache.executable(digest, name)

    def fetch(self, locked: Locked, platform: Platform | None = None) -> Path:
        """Fetch the file of a locked provider for a platform into the cache; return its path, not yet executable."""
        platform = platform or self.platform
        digest = self._digest(locked, platform)
        self._check_listed(locked, platform)
        path = self.cache.path(digest)
        if path.exists() and matches(path, digest):
            return path
        reference, what = self.reference_of(locked), _shown(locked)
        descriptor = self.artifact(reference, self.manifest(reference)).executable(platform, what)
        report = self.report
        progress = None if report is None else lambda done, size: report(what, done, size)
        return self.cache.fetch(self.source(reference.registry), reference.repository, descriptor, progress)

    def _check_listed(self, locked: Locked, platform: Platform) -> None:
        """Raise Tampered unless the locked manifest lists the locked executable, from wherever that is then taken."""
        digest, name = self._digest(locked, platform), f"{locked.manifest} {platform}"
        if self.records.read("executable", name) == digest.encode():
            return
        reference, what = self.reference_of(locked), _shown(locked)
        listed = self.artifact(reference, self.manifest(reference)).executable(platform, what).digest
        if listed != digest:
            raise Tampered(
                "Provider mismatch with the lock file",
                f"{what} for {platform} is {digest} in the lock file and {listed} in the manifest "
                f"{locked.manifest}. One of them was edited; nothing is executed.",
            )
        self.records.write("executable", name, digest.encode())

    def _digest(self, locked: Locked, platform: Platform | None = None) -> str:
        platform = platform or self.platform
        digest = locked.platforms.get(str(platform))
        if digest is None:
            detail = (
                f"{locked.source} has no executable for {platform}. "
                f"The lock file has: {', '.join(sorted(locked.platforms)) or 'none'}."
            )
            raise RegistryError("Provider not available for this platform", detail)
        return digest


def use_records(records: MachineRecords, locked: Locked | LockedImage) -> None:
    """Mark as used what this machine has recorded of the content and the signatures of a locked provider."""
    if isinstance(locked, LockedImage):
        verified_signers(records, locked.digest)
        return
    verified_signers(records, locked.manifest)
    for platform in locked.platforms:
        records.read("executable", f"{locked.manifest} {platform}")


def signed_by(policies: tuple[Policy, ...], signers: tuple[Signer, ...]) -> str:
    """Return the signer for the lock file: by the configuration's policy, as the machine's differ between machines."""
    return next((str(s) for policy, s in zip(policies, signers, strict=True) if not policy.machine), "")


def _shown(locked: Locked) -> str:
    name = parse_reference(locked.source).name
    return f"{name}:{locked.tag}" if locked.tag else name


def installer(report: Report | None = None) -> Installer:
    """Return the installer of this machine and user."""
    return Installer(load_settings(), default_cache(), report)


def with_probe(locked: Locked, answer: object) -> Locked:
    """Return a lock entry with the answer to the provider's probe."""
    return replace(locked, probe=answer if isinstance(answer, dict) else None)
