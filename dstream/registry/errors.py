"""Errors of registries, as diagnostics, with a class for each case that callers distinguish."""

from __future__ import annotations

from dstream.diagnostics import DiagnosticsError, error


class RegistryError(DiagnosticsError):
    """An error of a registry, the cache or the lock file."""

    def __init__(self, summary: str, detail: str) -> None:
        """Take the constant summary of this kind of error, and the detail of this one."""
        super().__init__(error(summary, detail))


class NotThere(RegistryError):
    """The registry does not have the content."""


class Unreachable(RegistryError):
    """The registry does not answer, or must not be queried; callers may fall back to the cache."""


class Denied(RegistryError):
    """The registry denies access: credentials are missing or insufficient."""


class Tampered(RegistryError):
    """Content does not match its digest or size."""
