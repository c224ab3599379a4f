"""Publish: pushes executables or images for several platforms under one reference, with an SBOM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from dstream.registry.errors import RegistryError
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
) -> Manifest:
    """Push executables under `tags`, and an SBOM (SPDX) that refers to them; return the manifest or index.

    `layout`: an index with one manifest for each platform, or one manifest with a file `plugin.<os>_<arch>` for each.
    Blobs are pushed first, tags last, so that the content of a tag is always complete.
    """
    if not files:
        raise RegistryError("Nothing to publish", "No executable was given.")
    pusher.blob(b"{}", EMPTY.media_type)
    layers = {platform: _layer(pusher, platform, path) for platform, path in sorted(files.items())}
    if layout == "files":
        top = artifact_manifest(ARTIFACT_TYPE, layers.values(), dict(annotations))
    else:
        parts = []
        for platform, layer in layers.items():
            part = artifact_manifest(ARTIFACT_TYPE, [layer], dict(annotations))
            pusher.manifest(part)
            form = {"os": platform.os, "architecture": platform.arch}
            parts.append(replace(part.descriptor, platform=form))
        top = index_of(parts, dict(annotations), ARTIFACT_TYPE)
    return _finish(pusher, top, tags, sbom)


def publish_images(
    pusher: Pusher,
    images: Mapping[Platform, Descriptor],
    tags: tuple[str, ...],
    annotations: Mapping[str, str],
    *,
    sbom: bytes | None = None,
) -> Manifest:
    """Push an index of images that the repository has, and a list of their parts; return the index."""
    parts = [
        replace(image, platform={"os": platform.os, "architecture": platform.arch})
        for platform, image in sorted(images.items())
    ]
    return _finish(pusher, index_of(parts, dict(annotations)), tags, sbom)


def _finish(pusher: Pusher, top: Manifest, tags: tuple[str, ...], sbom: bytes | None) -> Manifest:
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
