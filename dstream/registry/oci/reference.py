"""Reference: where an artifact is, as `ghcr.io/team/dstream-in-orders:v1.2.0` or `...@sha256:...`.

The grammar is that of the OCI distribution specification 1.1, except that the registry is required.
"""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from dstream.registry.errors import RegistryError

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Reference(Struct, frozen=True):
    """An artifact in a registry: by tag, by digest, by both (the digest decides), or all versions of it."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, without tag or digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def identifier(self) -> str | None:
        """The identifier to request: the digest if there is one, otherwise the tag."""
        return self.digest or self.tag

    def at(self, *, tag: str | None = None, digest: str | None = None) -> Reference:
        """Return the reference with another tag or digest."""
        return replace(self, tag=tag, digest=digest)

    def __str__(self) -> str:
        """Return the reference as text."""
        text = self.name
        if self.tag:
            text += f":{self.tag}"
        return f"{text}@{self.digest}" if self.digest else text


def parse_reference(text: str) -> Reference:
    """Parse a reference; raise RegistryError with the reason if it is invalid."""
    rest = text.removeprefix("oci://")
    host, slash, path = rest.partition("/")
    if "://" in rest or not slash or not path:
        raise _wrong(text, "expected REGISTRY/REPOSITORY:TAG, such as ghcr.io/team/dstream-in-orders:v1.2.0")
    if not _HOST.fullmatch(host) or not (set(".:[") & set(host) or host == "localhost"):
        raise _wrong(text, f"{host!r} is not a registry host. Write the host first, such as ghcr.io/{rest}")
    path, _, digest = path.partition("@")
    repository, colon, tag = path.partition(":")
    if "@" in rest and not DIGEST.fullmatch(digest):
        raise _wrong(text, "@ must be followed by a digest: sha256: and 64 hexadecimal digits")
    if colon and not _TAG.fullmatch(tag):
        raise _wrong(text, "a tag consists of at most 128 letters, digits, '.', '_' and '-'")
    if not _REPOSITORY.fullmatch(repository):
        raise _wrong(
            text,
            f"{repository!r} is not a repository: lower-case letters and digits, separated by '.', '_', '-' and '/'",
        )
    return Reference(host.lower(), repository, tag or None, digest or None)


def is_tag(text: str) -> bool:
    """Return whether a text is a tag."""
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Return whether a text is the name of a repository, without its registry."""
    return _REPOSITORY.fullmatch(text) is not None


def _wrong(text: str, why: str) -> RegistryError:
    return RegistryError("Invalid reference", f"{text!r} is not a reference to a registry: {why}.")
