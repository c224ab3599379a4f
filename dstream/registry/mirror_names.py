"""Mirror names: the folder, or host and prefix, that the name of a mirror in the settings denotes."""

from __future__ import annotations


def host_of(registry: str) -> str:
    """Return the host of a registry, which differs from its name for docker.io."""
    return "registry-1.docker.io" if registry in ("docker.io", "index.docker.io") else registry


def is_folder(mirror: str) -> bool:
    """Return whether a mirror is a folder."""
    return mirror.startswith(("/", "./", "../", "~"))


def place_in(mirror: str, registry: str) -> tuple[str, str]:
    """Return the host of a mirror registry, and the prefix of its copies of another registry."""
    host, _, prefix = mirror.removeprefix("oci://").partition("/")
    return host, prefix.replace("{registry}", registry.replace(":", "_")).strip("/")
