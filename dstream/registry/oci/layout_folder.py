"""Mirror folder: one OCI image layout for each repository, which other tools can read.

    MIRROR/ghcr.io/team/dstream-in-orders/{oci-layout, index.json, blobs/sha256/...}

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from dstream.bounded_json import MAX_BYTES, InvalidJson, parse_object
from dstream.files import make_folder
from dstream.registry.errors import NotThere, RegistryError
from dstream.registry.oci.content import (
    MAX_MANIFEST,
    OCI_INDEX,
    Descriptor,
    Manifest,
    check,
    digest_of,
    matches,
    parse_descriptor,
    parse_manifest,
    wrong_digest,
)
from dstream.registry.oci.reference import DIGEST
from dstream.registry.oci.source import Progress

_TAG = "org.opencontainers.image.ref.name"


class Folder:
    """The copies of one registry in a mirror folder, to read and write."""

    def __init__(self, root: Path, registry: str) -> None:
        """Read and write below `root/registry`."""
        self._root = root / registry.replace(":", "_")
        self._shown = root

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"the mirror {self._shown}"

    def manifest(self, repository: str, identifier: str) -> Manifest:
        """Return a manifest by tag or digest."""
        if DIGEST.fullmatch(identifier):
            raw, media_type = self._read(repository, identifier, MAX_MANIFEST), ""
        else:
            for each in self._entries(repository):
                if each.annotations.get(_TAG) == identifier:
                    raw, media_type = self._read(repository, each.digest, MAX_MANIFEST), each.media_type
                    break
            else:
                raise NotThere("Not found in the mirror", f"{self.place} has no {repository}:{identifier}.")
        return parse_manifest(raw, media_type, f"{repository}:{identifier} in {self.place}")

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository."""
        return [tag for each in self._entries(repository) if (tag := each.annotations.get(_TAG))]

    def blob(self, repository: str, descriptor: Descriptor, target: Path, progress: Progress | None = None) -> None:
        """Copy a blob to a file, which appears only when complete and verified."""
        path = self._blob(repository, descriptor.digest)
        if not path.is_file():
            raise NotThere("Not found in the mirror", f"{self.place} has no {repository}@{descriptor.digest}.")
        make_folder(target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            copy = Path(folder, "blob")
            shutil.copyfile(path, copy)
            if copy.stat().st_size != descriptor.size or not matches(copy, descriptor.digest):
                raise wrong_digest(str(path), descriptor.digest, digest_of(copy.read_bytes()))
            copy.replace(target)
        if progress is not None:
            progress(descriptor.size, descriptor.size)

    def blob_bytes(self, repository: str, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        return self._read(repository, descriptor.digest, descriptor.size)

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Return the referrers of a manifest, from the list under the fallback tag."""
        try:
            return self.manifest(repository, digest.replace(":", "-", 1)).descriptors("manifests")
        except NotThere:
            return []

    # Writing

    def put(self, repository: str, raw: bytes) -> None:
        """Store content under its digest."""
        path = self._blob(repository, digest_of(raw))
        make_folder(path.parent)
        _write(path, raw)

    def path_for(self, repository: str, digest: str) -> Path:
        """Return the path for a blob, and create its folder."""
        path = self._blob(repository, digest)
        make_folder(path.parent)
        return path

    def tag(self, repository: str, manifest: Manifest, tag: str) -> None:
        """Point a tag to a stored manifest."""
        folder = self._root / repository
        entries = [each for each in self._entries(repository) if each.annotations.get(_TAG) != tag]
        entries.append(Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), {_TAG: tag}))
        index: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [each.to_json() for each in entries],
        }
        make_folder(folder)
        _write(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _write(folder / "index.json", json.dumps(index, indent=1).encode())

    def _entries(self, repository: str) -> list[Descriptor]:
        path = self._root / repository / "index.json"
        try:
            with path.open("rb") as file:
                form = parse_object(file.read(MAX_BYTES + 1))
            return [parse_descriptor(each, str(path)) for each in form["manifests"]]
        except FileNotFoundError:
            return []
        except (OSError, InvalidJson, KeyError, TypeError) as problem:
            raise RegistryError("Unreadable mirror", f"{path}: {problem}.") from problem

    def _blob(self, repository: str, digest: str) -> Path:
        algorithm, _, encoded = digest.partition(":")
        return self._root / repository / "blobs" / algorithm / encoded

    def _read(self, repository: str, digest: str, limit: int) -> bytes:
        path = self._blob(repository, digest)
        try:
            with path.open("rb") as file:
                raw = file.read(limit + 1)
        except FileNotFoundError:
            raise NotThere("Not found in the mirror", f"{self.place} has no {repository}@{digest}.") from None
        check(raw, digest, None, str(path))
        return raw


def _write(path: Path, raw: bytes) -> None:
    """Replace a file atomically."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(raw)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
