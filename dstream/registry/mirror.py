"""Mirror: copies the content of a lock file unchanged to a folder or another registry."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from dstream.files import make_folder
from dstream.registry.errors import NotThere
from dstream.registry.lockfile.installer import Installer
from dstream.registry.lockfile.lock_file import Locked, LockedImage
from dstream.registry.mirror_names import host_of, is_folder, place_in
from dstream.registry.oci.artifact import Artifact
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import INDEXES, Descriptor, Manifest, matches
from dstream.registry.oci.image_names import image_reference
from dstream.registry.oci.layout_folder import Folder
from dstream.registry.oci.mirror_chain import Chain
from dstream.registry.oci.push import Pusher
from dstream.registry.oci.reference import Reference, parse_reference
from dstream.registry.oci.transport import Transport
from dstream.registry.platforms import Platform, platform_in


class Target(Protocol):
    """The destination for one repository."""

    partial: bool
    """Whether a manifest may exist without all blobs that it refers to."""

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether a blob exists."""

    def blob(self, descriptor: Descriptor, content: Path) -> None:
        """Keep a blob, which was checked."""

    def manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest, and its tag if one is given."""


class FolderTarget:
    """A repository in a mirror folder."""

    partial = True

    def __init__(self, root: Path, reference: Reference) -> None:
        """Write below `root`."""
        self._folder, self._repository = Folder(root, reference.registry), reference.repository

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether a blob exists with the right digest."""
        return matches(self._folder.path_for(self._repository, descriptor.digest), descriptor.digest)

    def blob(self, descriptor: Descriptor, content: Path) -> None:
        """Keep a blob, which was checked."""
        path = self._folder.path_for(self._repository, descriptor.digest)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            copy = Path(folder, "blob")
            shutil.copyfile(content, copy)
            copy.replace(path)

    def manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest, and its entry in the list of referrers if it has a subject."""
        self._folder.put(self._repository, manifest.raw)
        if tag is not None:
            self._folder.tag(self._repository, manifest, tag)


class RegistryTarget:
    """A repository in another registry."""

    partial = False

    def __init__(self, text: str, reference: Reference, transport: Transport) -> None:
        """Push to `text`, HOST/PREFIX, in which `{registry}` stands for the mirrored registry."""
        host, prefix = place_in(text, reference.registry)
        self._pusher = Pusher(RegistryClient(host_of(host), transport, prefix), reference.repository)

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether the repository has a blob already."""
        return self._pusher.has_blob(descriptor.digest)

    def blob(self, _descriptor: Descriptor, content: Path) -> None:
        """Push a blob."""
        self._pusher.blob(content)

    def manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Push a manifest."""
        self._pusher.manifest(manifest, tag)


def target_of(text: str, reference: Reference, transport: Transport) -> Target:
    """Return the target that a mirror's name denotes for one repository."""
    if is_folder(text):
        return FolderTarget(Path(text).expanduser(), reference)
    return RegistryTarget(text, reference, transport)


def mirror(
    installer: Installer, locked: Locked, target: Target, platforms: Iterable[Platform] | None = None
) -> Artifact:
    """Copy a locked provider with its referrers (signatures, SBOMs); return the copied manifests.

    With `platforms`, executables of others are omitted if the target allows it. Manifests are copied byte for byte, so
    that the lock file is valid for the mirror.
    """
    reference = parse_reference(locked.source).at(digest=locked.manifest)
    source = installer.source(reference.registry)
    artifact = installer.artifact(reference, installer.manifest(reference))
    selected = set(platforms) if platforms is not None and target.partial else set(artifact.executables)
    for platform, descriptor in artifact.executables.items():
        if platform in selected:
            target.blob(descriptor, installer.cache.fetch(source, reference.repository, descriptor))
    for manifest in (*artifact.parts, artifact.manifest):
        _small(installer, source, reference, target, manifest)
        target.manifest(manifest)
    _referrers(installer, source, reference, target, artifact.manifest)
    if locked.tag:
        target.manifest(artifact.manifest, locked.tag)
    return artifact


def mirror_image(
    installer: Installer, image: LockedImage, target: Target, platforms: Iterable[Platform] | None = None
) -> Manifest:
    """Copy a locked image and its referrers byte for byte; return its manifest or index.

    With `platforms`, images of others are omitted if the target allows it. Existing content is not copied again.
    """
    named = image_reference(image.source)
    reference = named.at(digest=image.digest)
    source = installer.source(reference.registry)
    top = installer.manifest(reference)
    selected = set(platforms) if platforms is not None and target.partial else None
    make_folder(installer.cache.root)
    with tempfile.TemporaryDirectory(dir=installer.cache.root, prefix="mirror-") as folder:

        def copy(descriptor: Descriptor) -> None:
            if target.has(descriptor) or any(word in descriptor.media_type for word in _ELSEWHERE):
                return
            path = Path(folder, "blob")
            report = installer.report
            progress = None if report is None else lambda done, size: report(image.source, done, size)
            source.blob(reference.repository, descriptor, path, progress)
            target.blob(descriptor, path)
            path.unlink()

        _image(source, reference.repository, target, top, copy, selected)
    _referrers(installer, source, reference, target, top)
    if not named.digest:
        target.manifest(top, named.tag or "latest")
    return top


_ELSEWHERE = ("foreign", "nondistributable")
"""Media types of layers that are stored at a URL, not in a registry."""


def _image(
    source: Chain,
    repository: str,
    target: Target,
    manifest: Manifest,
    copy: Callable[[Descriptor], None],
    selected: set[Platform] | None,
) -> None:
    """Copy an image, or the selected images of an index, with the manifest last."""
    for each in manifest.descriptors("manifests") if manifest.media_type in INDEXES else ():
        platform = platform_in(each.platform)
        if selected is None or platform is None or platform in selected:
            _image(source, repository, target, source.manifest(repository, each.digest), copy, selected)
    config = manifest.one("config")
    for blob in (*([config] if config is not None else []), *manifest.descriptors("layers")):
        copy(blob)
    target.manifest(manifest)


def _referrers(installer: Installer, source: Chain, reference: Reference, target: Target, subject: Manifest) -> None:
    found = source.referrers(reference.repository, subject.digest)
    for each in found:
        manifest = source.manifest(reference.repository, each.digest)
        for layer in manifest.descriptors("layers"):
            target.blob(layer, installer.cache.fetch(source, reference.repository, layer))
        _small(installer, source, reference, target, manifest)
        target.manifest(manifest)
    if found and target.partial:  # a folder does not have a referrers list, so it gets the one of the fallback tag
        from dstream.registry.oci.push import index_of

        target.manifest(index_of(found), subject.digest.replace(":", "-", 1))
    tag = f"{subject.digest.replace(':', '-', 1)}.sig"
    try:
        signed = source.manifest(reference.repository, tag)
    except NotThere:
        return
    for layer in signed.descriptors("layers"):
        target.blob(layer, installer.cache.fetch(source, reference.repository, layer))
    _small(installer, source, reference, target, signed)
    target.manifest(signed, tag)


def _small(installer: Installer, source: Chain, reference: Reference, target: Target, manifest: Manifest) -> None:
    """Copy the configuration object of a manifest."""
    config = manifest.one("config")
    if config is not None:
        target.blob(config, installer.cache.fetch(source, reference.repository, config))
