"""Image names: the registry, repository and mirrors that the name of a container image denotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstream.registry.errors import RegistryError
from dstream.registry.mirror_names import is_folder, place_in
from dstream.registry.oci.reference import Reference, parse_reference

if TYPE_CHECKING:
    from dstream.registry.settings import Settings


_DOCKER_HUB = ("docker.io", "index.docker.io")


def image_name(image: str) -> str:
    """Return an image's repository without tag and digest: `ghcr.io/team/x:v1` -> `ghcr.io/team/x`."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def image_reference(image: str) -> Reference:
    """Return the full reference of an image's name: `x:v1` -> `docker.io/library/x:v1`.

    All names that Docker has for an image give the same reference, so that one trust block applies to all of them.
    """
    host, slash, rest = image.partition("/")
    named = bool(slash) and ("." in host or ":" in host or host == "localhost")
    if named and host.lower() not in _DOCKER_HUB:
        return parse_reference(image)
    path = rest if named else image
    return parse_reference(f"docker.io/{path}" if "/" in path else f"docker.io/library/{path}")


def references_of(image: str, settings: Settings, *, newest: bool = False) -> tuple[str, ...]:
    """Return the names, without tag and digest, under which an engine may get an image, mirrors first.

    With `newest`, a tag is resolved in its own registry first. Mirror folders are skipped, since engines pull only from
    registries. Raise RegistryError if the settings allow no registry.
    """
    reference = image_reference(image)
    own = settings.of(reference.registry)
    found = []
    for mirror in own.mirrors:
        if not is_folder(mirror):
            host, prefix = place_in(mirror, reference.registry)
            found.append("/".join(filter(None, (host, prefix, reference.repository))))
    if not own.only_mirrors or not own.mirrors:
        found.insert(0 if newest else len(found), image_name(image))
    if not found:
        raise RegistryError(
            "Image not available from mirrors",
            f"Only mirrors of {reference.registry} may be used, and {', '.join(own.mirrors)} is a folder, from which a "
            f"container engine cannot pull {image}. Copy the image to a registry with: dstream providers mirror "
            "HOST/PREFIX, and add that registry to the mirrors.",
        )
    return tuple(found)


def suffix_of(image: str) -> str:
    """Return the tag and digest of an image's name as written: `x:v1` -> `:v1`."""
    return image.removeprefix(image_name(image))
