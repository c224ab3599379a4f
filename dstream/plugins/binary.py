"""ProviderSource and Binary: the source of a provider in a block, and the program found for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from dstream.plugins.container import Container, Limits

if TYPE_CHECKING:
    from dstream.registry.trust.policy import Policy

Role = Literal["input", "output", "resource"]


class ProviderSource(Struct, frozen=True):
    """Where a provider comes from, as a block says: a path, a name, a registry reference or a container image."""

    kind: Literal["path", "name", "ref", "image"]
    value: str
    env: tuple[str, ...] = ()
    """Names of environment variables that it may see besides the usual ones."""
    container: Limits = field(default_factory=Limits)
    """What it may do, if it is an image."""
    trusted: tuple[Policy, ...] = ()
    """Whose signatures it needs, by the trust blocks of the machine and of the configuration."""

    @property
    def argument(self) -> str:
        """The argument of a block that says so."""
        names = {"path": "provider_path", "name": "provider", "ref": "provider_ref", "image": "provider_image"}
        return names[self.kind]


class Binary(Struct, frozen=True, eq=False):
    """An executable that can be started: its command line, where it came from, and a digest of its content."""

    argv: tuple[str, ...]
    source: ProviderSource
    digest: str
    folder: str | None = None
    """Where it runs: the configuration's folder, so that relative paths in a provider's settings start there."""
    answer: Mapping[str, Any] | None = None
    """What the lock file says that it answers to the probe; the provider itself decides."""

    container: Container | None = None
    """The image that it is; `argv` is then the engine and the image."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that it sees on top, or instead, of those that any provider sees."""

    def __eq__(self, other: object) -> bool:
        """Compare all but `answer`."""
        return isinstance(other, Binary) and self._identity == other._identity

    def __ne__(self, other: object) -> bool:
        """Negate equality: that of structs would compare identities."""
        return not self == other

    def __hash__(self) -> int:
        """Go with equality."""
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.argv, self.source, self.digest, self.folder, self.container

    @property
    def name(self) -> str:
        """What messages call it: the name of the executable, or the image."""
        return Path(self.argv[0]).name if self.container is None else self.source.value
