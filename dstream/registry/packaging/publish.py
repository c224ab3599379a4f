"""Publish: pushes executables or images for several platforms under one reference, with an SBOM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from dstream.registry.errors import RegistryError
from dstream.registry.lockfile.version_constraints import parse_version
from dstream.registry.oci.artifact import ARTIFACT_TYPE, BINARY_TYPE, TITLE
from dstream.registry.oci.content import Descriptor, Manifest
from dstream.registry.oci.push import EMPTY, Pusher, artifact_manifest, index_of
from dstream.registry.platforms import Platform

Layout = Literal["index", "files"]
SBOM_TYPE = "application/spdx+json"


def publish(
    pusher: Pusher,
    files: Mapping[Platform, Path],
    tags: tuple[str, ...],
    annotations: Mapping[str, str],
    *,
    layout: Layout = "index",
    sbom: bytes | None = None,
    force: bool = False,
) -> Manifest:
    """Push executables under `tags`, and an SBOM (SPDX) that refers to them; return the manifest or index.

    Raise RegistryError if a tag is a released version with other content, unless `force` is set. The same executables,
    tags and annotations give the same digest.

    `layout`: an index with one manifest for each platform, or one manifest with a file `plugin.<os>_<arch>` for each.
    Blobs are pushed first, tags last, so that the content of a tag is always complete.
    """
    if not files:
        raise RegistryError("Nothing to publish", "No executable was given.")
    annotations = dict(sorted(annotations.items()))
    pusher.blob(b"{}", EMPTY.media_type)
    layers = {platform: _layer(pusher, platform, path) for platform, path in sorted(files.items())}
    if layout == "files":
        top = artifact_manifest(ARTIFACT_TYPE, layers.values(), annotations)
    else:
        parts = []
        for platform, layer in layers.items():
            part = artifact_manifest(ARTIFACT_TYPE, [layer], annotations)
            pusher.manifest(part)
            form = {"os": platform.os, "architecture": platform.arch}
            parts.append(replace(part.descriptor, platform=form))
        top = index_of(parts, annotations, ARTIFACT_TYPE)
    return _finish(pusher, top, tags, sbom, force=force)


def publish_images(
    pusher: Pusher,
    images: Mapping[Platform, Descriptor],
    tags: tuple[str, ...],
    annotations: Mapping[str, str],
    *,
    sbom: bytes | None = None,
    force: bool = False,
) -> Manifest:
    """Push an index of images that the repository has, and a list of their parts; return the index.

    Raise RegistryError as `publish`.
    """
    parts = [
        replace(image, platform={"os": platform.os, "architecture": platform.arch})
        for platform, image in sorted(images.items())
    ]
    return _finish(pusher, index_of(parts, dict(sorted(annotations.items()))), tags, sbom, force=force)


def refuse_released(pusher: Pusher, tags: Iterable[str], digest: str | None = None) -> None:
    """Raise RegistryError if a tag is a version that the repository has with another digest than `digest`.

    Other tags, such as latest, are meant to move. A registry has no way to make the check and the push one step.
    """
    for tag in tags:
        found = pusher.digest_of(tag) if parse_version(tag) is not None else None
        if found is not None and found != digest:
            detail = (
                f"{pusher.place}:{tag} is released, as {found}. Lock files name that digest, and a version that means "
                "something else is an error for everyone who uses it. Publish under another version. To replace it "
                "nevertheless, use -force."
            )
            raise RegistryError("Released version exists", detail)


def _finish(pusher: Pusher, top: Manifest, tags: tuple[str, ...], sbom: bytes | None, *, force: bool) -> Manifest:
    if not force:
        refuse_released(pusher, tags, top.digest)
    pusher.manifest(top)
    if sbom is not None:
        attach(pusher, top, SBOM_TYPE, sbom, "sbom.spdx.json")
    for tag in tags:
        pusher.manifest(top, tag)
    return top


def attach(
    pusher: Pusher,
    subject: Manifest,
    artifact_type: str,
    content: bytes,
    title: str,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Push a referrer of a manifest, such as an SBOM or a signature; return the referrer's manifest."""
    pusher.blob(b"{}", EMPTY.media_type)
    layer = replace(pusher.blob(content, artifact_type), annotations={TITLE: title})
    manifest = artifact_manifest(artifact_type, [layer], dict(annotations or {}), subject=subject.descriptor)
    pusher.manifest(manifest)
    return manifest


def _layer(pusher: Pusher, platform: Platform, path: Path) -> Descriptor:
    return replace(pusher.blob(path, BINARY_TYPE), annotations={TITLE: platform.filename})
