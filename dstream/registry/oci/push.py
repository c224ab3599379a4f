"""Push: uploads blobs, manifests and referrers to a registry (OCI distribution specification 1.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import urllib3

from dstream.registry.errors import NotThere, RegistryError
from dstream.registry.oci.client import RegistryClient, reason_of
from dstream.registry.oci.content import (
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
    digest_of_file,
    make_manifest,
)
from dstream.registry.oci.origins import target_of

EMPTY = Descriptor("application/vnd.oci.empty.v1+json", digest_of(b"{}"), 2)
"""The empty JSON object: the configuration blob of an artifact without one."""


class Pusher:
    """Writes to one repository."""

    def __init__(self, client: RegistryClient, repository: str) -> None:
        """Write through `client`; nothing is sent yet."""
        self._client, self._repository = client, repository
        self._base = f"/v2/{client.path(repository)}"
        self._scope = f"repository:{client.path(repository)}:pull,push"

    def blob(self, content: bytes | Path, media_type: str = "application/octet-stream") -> Descriptor:
        """Send a blob unless the registry has it; return its descriptor."""
        digest, size = digest_of_file(content) if isinstance(content, Path) else (digest_of(content), len(content))
        descriptor = Descriptor(media_type, digest, size)
        if self.has_blob(digest):
            return descriptor
        with self._client.request(
            "POST", f"{self._base}/blobs/uploads/", self._scope, {"Content-Length": "0"}
        ) as begun:
            place = begun.headers.get("Location")
            if begun.status != 202 or not place:
                raise self._refused("an upload", begun)
        url = target_of(f"{self._client.base}{self._base}/blobs/uploads/", place)
        url += f"{'&' if '?' in url else '?'}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        with self._client.request("PUT", url, self._scope, headers, content) as done:
            if done.status != 201:
                raise self._refused(f"the blob {digest}", done)
        return descriptor

    def manifest(self, manifest: Manifest, tag: str | None = None) -> Descriptor:
        """Send a manifest under a tag, or under its digest alone.

        If it has a subject and the registry has no referrers API, the list under the fallback tag is updated.
        """
        headers = {"Content-Type": manifest.media_type}
        path = f"{self._base}/manifests/{tag or manifest.digest}"
        with self._client.request("PUT", path, self._scope, headers, manifest.raw) as done:
            if done.status != 201:
                raise self._refused(f"the manifest {tag or manifest.digest}", done)
            kept = done.headers.get("OCI-Subject")
        subject = manifest.one("subject")
        if subject is not None and not kept:
            self._refer(subject, manifest)
        return manifest.descriptor

    def _refer(self, subject: Descriptor, manifest: Manifest) -> None:
        """Add a manifest to the list under the fallback tag of its subject."""
        tag = subject.digest.replace(":", "-", 1)
        known: list[Descriptor] = []
        with contextlib.suppress(NotThere):
            known = self._client.manifest(self._repository, tag).descriptors("manifests")
        if any(each.digest == manifest.digest for each in known):
            return
        config = manifest.one("config")
        kind = manifest.form.get("artifactType") or (config.media_type if config else "")
        added = Descriptor(
            manifest.media_type, manifest.digest, len(manifest.raw), manifest.annotations, artifact_type=kind
        )
        self.manifest(index_of([*known, added]), tag)

    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has a blob."""
        try:
            with self._client.request("HEAD", f"{self._base}/blobs/{digest}", self._scope) as found:
                return found.status == 200
        except NotThere:
            return False

    @property
    def place(self) -> str:
        """The repository's name in messages."""
        return f"{self._client.host}/{self._client.path(self._repository)}"

    def digest_of(self, tag: str) -> str | None:
        """Return the digest of a tag, None if the repository does not have it."""
        try:
            return self._client.manifest(self._repository, tag).digest
        except NotThere:
            return None

    def _refused(self, what: str, answer: urllib3.BaseHTTPResponse) -> RegistryError:
        detail = f"{self.place} rejected {what}: {reason_of(answer)}"
        return RegistryError("Registry push rejected", detail)


def index_of(
    manifests: Iterable[Descriptor], annotations: dict[str, str] | None = None, artifact_type: str | None = None
) -> Manifest:
    """Return the index of several manifests."""
    form: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX}
    if artifact_type:
        form["artifactType"] = artifact_type
    form["manifests"] = [each.to_json() for each in manifests]
    if annotations:
        form["annotations"] = annotations
    return make_manifest(form)


def artifact_manifest(
    artifact_type: str,
    layers: Iterable[Descriptor],
    annotations: dict[str, str] | None = None,
    *,
    config: Descriptor = EMPTY,
    subject: Descriptor | None = None,
) -> Manifest:
    """Return the manifest of an artifact: typed files, and the subject they refer to if any."""
    form: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config.to_json(),
        "layers": [each.to_json() for each in layers],
    }
    if subject is not None:
        form["subject"] = Descriptor(subject.media_type, subject.digest, subject.size).to_json()
    if annotations:
        form["annotations"] = annotations
    return make_manifest(form)
