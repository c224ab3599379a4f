"""Images: names of container images, as engines read them, and the registries that they mean."""

from __future__ import annotations

from dstream.registry.reference import Reference, parse_reference


def image_name(image: str) -> str:
    """Return an image's repository without tag and digest: `ghcr.io/team/x:v1` -> `ghcr.io/team/x`."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def image_reference(image: str) -> Reference:
    """Return the place in a registry that an image's name means: `x:v1` -> `docker.io/library/x:v1`."""
    host, slash, _ = image.partition("/")
    if not slash:
        return parse_reference(f"docker.io/library/{image}")
    named = "." in host or ":" in host or host == "localhost"
    return parse_reference(image if named else f"docker.io/{image}")
