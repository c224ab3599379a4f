"""Trust: whose signatures a configuration accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dstream.registry.content import Manifest
    from dstream.registry.reference import Reference
    from dstream.registry.source import Source


class Policy(Protocol):
    """Verifies signatures."""

    def verify(self, source: Source, reference: Reference, manifest: Manifest) -> str:
        """Return who has signed a manifest; raise RegistryError where nobody has who is trusted."""
