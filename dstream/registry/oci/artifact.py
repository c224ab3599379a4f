"""Artifact: the executables of a manifest by platform, in both layouts in use.

One manifest with a file `plugin.<os>_<arch>` per platform (the name is the layer's title), or an index with one
manifest per platform, each with one file. A single file without a platform in its name is for the platform that the
configuration object names (`{"os", "architecture"}`).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from dstream.bounded_json import InvalidJson, parse_object
from dstream.registry.errors import RegistryError
from dstream.registry.oci.content import INDEXES, Descriptor, Manifest
from dstream.registry.oci.source import Source
from dstream.registry.platforms import Platform, platform_in, platform_of_file

ARTIFACT_TYPE = "application/vnd.dstream.provider.v1"
BINARY_TYPE = "application/vnd.dstream.provider.binary.v1"
TITLE = "org.opencontainers.image.title"
_NO_FILES = ("attestation-manifest",)
UNPACKED = "io.deis.oras.content.unpack"
"""The annotation of a folder that `oras push` has packed."""
_COMPRESSED = ("+gzip", ".gzip", "+zstd")
_PACKED = (*_COMPRESSED, "tar")
"""`oras push REF plugin.linux_amd64` calls a file a tar, too: a name of a platform counts for more than the type."""
_NEUTRAL_CONFIGS = frozenset({"application/vnd.oci.empty.v1+json", "application/vnd.unknown.config.v1+json"})


class Artifact(Struct, frozen=True):
    """A provider in a registry: one executable for each platform."""

    manifest: Manifest
    executables: Mapping[Platform, Descriptor]
    parts: tuple[Manifest, ...] = ()
    """The manifests of an index."""

    @property
    def digest(self) -> str:
        """The digest of the manifest or index, which covers all of its content."""
        return self.manifest.digest

    def executable(self, platform: Platform, what: str) -> Descriptor:
        """Return the file for a platform; raise RegistryError with the available platforms if there is none."""
        found = self.executables.get(platform)
        if found is None:
            there = ", ".join(sorted(map(str, self.executables))) or "none"
            detail = f"{what} has no executable for {platform}. Available platforms: {there}."
            raise RegistryError("Provider not available for this platform", detail)
        return found


def read_artifact(source: Source, repository: str, manifest: Manifest) -> Artifact:
    """Return the artifact of a manifest, or of an index; raise RegistryError if it is not a provider."""
    what = f"{repository}@{manifest.digest} in {source.place}"
    if manifest.media_type not in INDEXES:
        found = _files(source, repository, manifest)
        if not found:
            raise _no_provider(what, manifest)
        return Artifact(manifest, found)
    executables: dict[Platform, Descriptor] = {}
    parts: list[Manifest] = []
    for each in manifest.descriptors("manifests"):
        platform = platform_in(each.platform)
        if platform is None and each.annotations.get("vnd.docker.reference.type") in _NO_FILES:
            continue
        part = source.manifest(repository, each.digest)
        if len(part.raw) != each.size:
            raise RegistryError(
                "Malformed manifest", f"{what}: {each.digest} does not have the size given in the index."
            )
        parts.append(part)
        inside = _files(source, repository, part, platform)
        if platform is not None and platform in inside:
            executables[platform] = inside[platform]
        elif platform is None:
            executables.update(inside)
    if not executables:
        raise _no_provider(what, manifest)
    return Artifact(manifest, executables, tuple(parts))


def _files(
    source: Source, repository: str, manifest: Manifest, platform: Platform | None = None
) -> dict[Platform, Descriptor]:
    """Return the executables of one manifest by the platforms in their names, otherwise the only one for `platform`."""
    everything = [each for each in manifest.descriptors("layers") if UNPACKED not in each.annotations]
    named: dict[Platform, Descriptor] = {}
    for each in everything:
        found = platform_of_file(each.annotations.get(TITLE, ""))
        if found is None or each.media_type.endswith(_COMPRESSED):
            continue
        if named.setdefault(found, each).digest != each.digest:
            detail = f"{repository}@{manifest.digest} in {source.place} contains two different files for {found}."
            raise RegistryError("Malformed manifest", detail)
    layers = [each for each in everything if not each.media_type.endswith(_PACKED)]
    if named or not layers:
        return named
    binaries = [each for each in layers if each.media_type == BINARY_TYPE] or layers
    platform = platform or _configured(source, repository, manifest)
    return {platform: binaries[0]} if len(binaries) == 1 and platform is not None else {}


def _configured(source: Source, repository: str, manifest: Manifest) -> Platform | None:
    config = manifest.one("config")
    if config is None or config.media_type in _NEUTRAL_CONFIGS or config.size < 3:
        return None
    try:
        form = parse_object(source.blob_bytes(repository, config))
    except InvalidJson:
        return None
    return platform_in({name: value for name, value in form.items() if isinstance(value, str)})


def _no_provider(what: str, manifest: Manifest) -> RegistryError:
    layers = manifest.descriptors("layers")
    if manifest.media_type in INDEXES or any(each.media_type.endswith(_PACKED) for each in layers):
        how = "It looks like a container image; use provider_image instead of provider_ref."
    else:
        how = "A provider consists of a file named plugin.OS_ARCH, or an index entry, for each platform."
    return RegistryError("Artifact without a provider", f"{what} contains no executable for any platform. {how}")
