"""Images: names of container images, as engines write them out in full."""

from __future__ import annotations


def image_name(image: str) -> str:
    """Return an image's repository without tag and digest: `ghcr.io/team/x:v1` -> `ghcr.io/team/x`."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
