"""Source: the interface for reading artifacts, from a registry or a mirror."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dstream.registry.oci.content import Descriptor, Manifest

Progress = Callable[[int, int], None]
"""Called during a download with the bytes received and the total bytes."""


class Source(Protocol):
    """Reads one repository's content, checked. Every method may raise NotThere, Unreachable, Denied or Tampered."""

    @property
    def place(self) -> str:
        """What messages call it."""

    def manifest(self, repository: str, identifier: str) -> Manifest:
        """Return a manifest by tag or digest."""

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository."""

    def blob(self, repository: str, descriptor: Descriptor, target: Path, progress: Progress | None = None) -> None:
        """Write a blob to a file, which appears only when complete and verified."""

    def blob_bytes(self, repository: str, descriptor: Descriptor) -> bytes:
        """Return a small blob."""

    def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """Return the manifests whose subject is `digest`: signatures, lists of contents."""
