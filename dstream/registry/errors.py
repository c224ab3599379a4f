"""What can go wrong with a registry, as diagnostics: a caller can tell what is absent from what is out of reach."""

from __future__ import annotations

from dstream.diagnostics import DiagnosticsError, error


class RegistryError(DiagnosticsError):
    """Something about a registry, a cache or a lock file that the user has to know of."""

    def __init__(self, summary: str, detail: str) -> None:
        """Take what is always said of this kind of problem, and what is so this time."""
        super().__init__(error(summary, detail))


class NotThere(RegistryError):
    """The registry answers, and does not have it."""


class Unreachable(RegistryError):
    """The registry does not answer, or it is not to be asked: what the cache has may serve instead."""


class Denied(RegistryError):
    """The registry does not let us: no credentials, or not the right ones."""


class Tampered(RegistryError):
    """Content is not what its digest or size says."""
