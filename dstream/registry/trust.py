"""Trust."""

from __future__ import annotations

from typing import Protocol

from dstream.registry.chain import Chain
from dstream.registry.content import Manifest
from dstream.registry.reference import Reference


class Policy(Protocol):
    """x."""

    def verify(self, source: Chain, reference: Reference, manifest: Manifest) -> str:
        """x."""
