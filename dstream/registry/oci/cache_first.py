"""CacheFirst: a source that asks nobody for what the cache has by digest, and leaves there what it had to ask for."""

from __future__ import annotations

from dstream.registry.oci.cache import Cache
from dstream.registry.oci.content import Descriptor, Manifest, matches
from dstream.registry.oci.mirror_chain import Chain


class CacheFirst(Chain):
    """A chain of sources behind a cache."""

    def __init__(self, cache: Cache, source: Chain) -> None:
        """Ask `source` for what `cache` does not have."""
        super().__init__(source.sources)
        self._cache = cache

    def manifest(self, repository: str, wanted: str) -> Manifest:
        """Return a manifest by tag or digest."""
        cached = self._cache.manifest(wanted) if wanted.startswith("sha") else None
        if cached is not None:
            return cached
        found = super().manifest(repository, wanted)
        self._cache.keep(found.raw)
        return found

    def blob_bytes(self, repository: str, wanted: Descriptor) -> bytes:
        """Return a small blob."""
        path = self._cache.path(wanted.digest)
        if matches(path, wanted.digest):
            return path.read_bytes()
        raw = super().blob_bytes(repository, wanted)
        self._cache.keep(raw)
        return raw
