"""Folder: a mirror on a disk: for each repository an OCI image layout, which other tools can read as well.

    MIRROR/ghcr.io/team/dstream-in-orders/{oci-layout, index.json, blobs/sha256/...}

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

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
    """A mirror folder as a source of what it has of one registry, and a place to write to."""

    def __init__(self, root: Path, registry: str) -> None:
        """Read and write below `root/registry`."""
        self._root = root / registry.replace(":", "_")
        self._shown = root

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"the mirror {self._shown}"

    def manifest(self, repository: str, wanted: str) -> Manifest:
        """Return a manifest by tag or digest."""
        if DIGEST.fullmatch(wanted):
            raw, media_type = self._read(repository, wanted, MAX_MANIFEST), ""
        else:
            for each in self._entries(repository):
                if each.annotations.get(_TAG) == wanted:
                    raw, media_type = self._read(repository, each.digest, MAX_MANIFEST), each.media_type
                    break
            else:
                raise NotThere("Not found in the mirror", f"{self.place} has no {repository}:{wanted}.")
        return parse_manifest(raw, media_type, f"{repository}:{wanted} in {self.place}")

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository."""
        return [tag for each in self._entries(repository) if (tag := each.annotations.get(_TAG))]

    def blob(self, repository: str, wanted: Descriptor, target: Path, progress: Progress | None = None) -> None:
        """Copy a blob to a file, which is there only when it is whole and right."""
        path = self._blob(repository, wanted.digest)
        if not path.is_file():
            raise NotThere("Not found in the mirror", f"{self.place} has no {repository}@{wanted.digest}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            copy = Path(folder, "blob")
            shutil.copyfile(path, copy)
            if copy.stat().st_size != wanted.size or not matches(copy, wanted.digest):
                raise wrong_digest(str(path), wanted.digest, digest_of(copy.read_bytes()))
            copy.replace(target)
        if progress is not None:
            progress(wanted.size, wanted.size)

    def blob_bytes(self, repository: str, wanted: Descriptor) -> bytes:
        """Return a small blob."""
        return self._read(repository, wanted.digest, wanted.size)

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Return what refers to a manifest, from the list under the fallback tag."""
        try:
            return self.manifest(repository, digest.replace(":", "-", 1)).descriptors("manifests")
        except NotThere:
            return []

    # Writing

    def put(self, repository: str, raw: bytes) -> None:
        """Keep some content under its digest."""
        path = self._blob(repository, digest_of(raw))
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, raw)

    def path_for(self, repository: str, digest: str) -> Path:
        """Return where a blob belongs; its folder is there."""
        path = self._blob(repository, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def tag(self, repository: str, manifest: Manifest, tag: str) -> None:
        """Let a tag mean a manifest, which was kept."""
        folder = self._root / repository
        entries = [each for each in self._entries(repository) if each.annotations.get(_TAG) != tag]
        entries.append(Descriptor(manifest.media_type, manifest.digest, len(manifest.raw), {_TAG: tag}))
        index: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [each.to_json() for each in entries],
        }
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _write(folder / "index.json", json.dumps(index, indent=1).encode())

    def _entries(self, repository: str) -> list[Descriptor]:
        path = self._root / repository / "index.json"
        try:
            form = json.loads(path.read_bytes())
            return [parse_descriptor(each, str(path)) for each in form["manifests"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise RegistryError("Mirror cannot be read", f"{path}: {problem}.") from problem

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
    """Replace a file in one step."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(raw)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
