"""Content addressed by digest: descriptors, manifests, and the checks of received content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from dstream.bounded_json import InvalidJson, is_integer, parse_object
from dstream.registry.errors import RegistryError, Tampered
from dstream.registry.oci.reference import DIGEST

if TYPE_CHECKING:
    from hashlib import _Hash

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""The media types for the Accept header, without which some registries answer 404."""

MAX_MANIFEST = 4 * 1024 * 1024
"""The size limit for manifests, from the distribution specification."""
MAX_BLOB = 1 << 40
"""The size limit for files and layers."""


class Descriptor(Struct, frozen=True):
    """A pointer to content: media type, digest, size in bytes, and annotations (OCI image spec 1.1)."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, str] | None = None
    artifact_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as JSON values for a manifest."""
        form: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            form["artifactType"] = self.artifact_type
        if self.platform:
            form["platform"] = dict(self.platform)
        if self.annotations:
            form["annotations"] = dict(self.annotations)
        return form


class Manifest(Struct, frozen=True):
    """A manifest or an index: its bytes, which the digest covers, and its parsed form."""

    raw: bytes
    media_type: str
    digest: str
    form: Mapping[str, Any]

    @property
    def descriptor(self) -> Descriptor:
        """The pointer to this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.raw), artifact_type=self.form.get("artifactType"))

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations, without those that are not strings."""
        return _texts(self.form.get("annotations"))

    def descriptors(self, member: str) -> list[Descriptor]:
        """Return the pointers in a member (`layers`, `manifests`); raise RegistryError if they are malformed."""
        found = self.form.get(member)
        if found is None:
            return []
        if not isinstance(found, list):
            raise RegistryError("Malformed manifest", f"{self.digest}: {member} is not a list.")
        return [parse_descriptor(each, self.digest) for each in found]

    def one(self, member: str) -> Descriptor | None:
        """Return the pointer in a member (`config`, `subject`), or None."""
        found = self.form.get(member)
        return None if found is None else parse_descriptor(found, self.digest)


def parse_descriptor(form: Any, where: str) -> Descriptor:
    """Parse a descriptor from JSON values; raise RegistryError naming `where` if it is malformed."""
    if not isinstance(form, dict) or not _is_descriptor(form):
        detail = f"{where} contains a descriptor without a valid digest, size and media type: {repr(form)[:300]}"
        raise RegistryError("Malformed manifest", detail)
    platform = form.get("platform")
    return Descriptor(
        form.get("mediaType") or "",
        form["digest"],
        form["size"],
        _texts(form.get("annotations")),
        _texts(platform) if isinstance(platform, dict) else None,
        form.get("artifactType") or None,
    )


def _is_descriptor(form: Mapping[str, Any]) -> bool:
    digest, size = form.get("digest"), form.get("size")
    return (
        isinstance(digest, str)
        and DIGEST.fullmatch(digest) is not None
        and is_integer(size)
        and 0 <= form["size"] <= MAX_BLOB
        and all(isinstance(form.get(name), str | None) for name in ("mediaType", "artifactType"))
        and all(isinstance(form.get(name), dict | None) for name in ("annotations", "platform"))
    )


def _texts(form: Any) -> dict[str, str]:
    return {k: v for k, v in form.items() if isinstance(v, str)} if isinstance(form, dict) else {}


def make_manifest(form: Mapping[str, Any]) -> Manifest:
    """Return a manifest from JSON values; its digest is that of the compact JSON text."""
    raw = json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode()
    return Manifest(raw, str(form["mediaType"]), digest_of(raw), form)


def parse_manifest(raw: bytes, media_type: str, where: str) -> Manifest:
    """Parse a manifest; raise RegistryError naming `where` if it is malformed or unsupported."""
    try:
        form = parse_object(raw, limit=MAX_MANIFEST)
    except InvalidJson as problem:
        detail = f"{where} is not an OCI manifest or index: {problem}."
        raise RegistryError("Malformed manifest", detail) from problem
    if not is_integer(form.get("schemaVersion")) or form["schemaVersion"] != 2:
        raise RegistryError("Malformed manifest", f"{where} is not an OCI manifest or index (schemaVersion 2).")
    if not all(isinstance(form.get(name), str | None) for name in ("mediaType", "artifactType")):
        raise RegistryError("Malformed manifest", f"{where} has a mediaType or artifactType that is not a text.")
    stated = form.get("mediaType") or media_type.partition(";")[0].strip()
    if not stated:
        stated = OCI_INDEX if "manifests" in form else OCI_MANIFEST
    if stated not in MANIFEST_TYPES:
        raise RegistryError("Malformed manifest", f"{where} has the media type {stated!r}, which is not supported.")
    return Manifest(raw, stated, digest_of(raw), form)


def digest_of(raw: bytes) -> str:
    """Return `sha256:...` of some bytes."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def digest_of_file(path: Path) -> tuple[str, int]:
    """Return `sha256:...` and the size of a file."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
        return f"sha256:{found.hexdigest()}", file.tell()


def hasher(digest: str) -> _Hash:
    """Return an empty hash with the algorithm of a digest."""
    return hashlib.new(digest.partition(":")[0])


def matches(path: Path, digest: str) -> bool:
    """Return whether a file has a digest; False if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, digest.partition(":")[0]).hexdigest() == digest.partition(":")[2]
    except OSError:
        return False


def check(raw: bytes, digest: str, size: int | None, where: str) -> None:
    """Raise Tampered unless `raw` has this digest and, if given, this size."""
    found = hasher(digest)
    found.update(raw)
    if size is not None and len(raw) != size:
        raise wrong_size(where, size, len(raw))
    if found.hexdigest() != digest.partition(":")[2]:
        raise wrong_digest(where, digest, f"{digest.partition(':')[0]}:{found.hexdigest()}")


def wrong_digest(where: str, expected: str, got: str) -> Tampered:
    """Return the error for content that does not match its digest."""
    return Tampered(
        "Digest mismatch",
        f"{where}: {expected} was requested and {got} was received. The content was damaged or changed in transit, in "
        "a mirror or in the registry. It was discarded. Try again; if the error persists, contact the registry's "
        "operator.",
    )


def wrong_size(where: str, expected: int, got: int) -> Tampered:
    """Return the error for content whose size differs from its descriptor."""
    return Tampered(
        "Size mismatch",
        f"{where}: {expected} bytes were announced and {got} received. The content was discarded.",
    )
