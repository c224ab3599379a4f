"""CacheFirst: a source that reads content by digest from the cache, and stores fetched content there."""

from __future__ import annotations

from dstream.registry.oci.cache import Cache
from dstream.registry.oci.content import Descriptor, Manifest, matches
from dstream.registry.oci.mirror_chain import Chain


class CacheFirst(Chain):
    """A chain of sources behind a cache."""

    def __init__(self, cache: Cache, source: Chain) -> None:
        """Fetch from `source` the content that `cache` does not have."""
        super().__init__(source.sources)
        self._cache = cache

    def manifest(self, repository: str, identifier: str) -> Manifest:
        """Return a manifest by tag or digest."""
        cached = self._cache.manifest(identifier) if identifier.startswith("sha") else None
        if cached is not None:
            return cached
        found = super().manifest(repository, identifier)
        self._cache.keep(found.raw)
        return found

    def blob_bytes(self, repository: str, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        path = self._cache.path(descriptor.digest)
        if matches(path, descriptor.digest):
            return path.read_bytes()
        raw = super().blob_bytes(repository, descriptor)
        self._cache.keep(raw)
        return raw
