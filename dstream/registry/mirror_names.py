"""Mirrors: what their names in the settings mean, and where a registry has what it has of others."""

from __future__ import annotations


def host_of(registry: str) -> str:
    """Return the host that serves a registry: that of docker.io is called differently."""
    return "registry-1.docker.io" if registry in ("docker.io", "index.docker.io") else registry


def is_folder(mirror: str) -> bool:
    """Return whether a mirror is a folder."""
    return mirror.startswith(("/", "./", "../", "~"))


def place_in(mirror: str, registry: str) -> tuple[str, str]:
    """Return the host of a mirror that is no folder, and the prefix of what it has of a registry."""
    host, _, prefix = mirror.removeprefix("oci://").partition("/")
    return host, prefix.replace("{registry}", registry.replace(":", "_")).strip("/")
