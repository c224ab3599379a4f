"""`dstream providers publish`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from msgspec import Struct

from dstream.cli.options import Command, flag, option
from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from dstream.registry.oci.client import RegistryClient
    from dstream.registry.oci.content import Manifest
    from dstream.registry.oci.reference import Reference
    from dstream.registry.platforms import Platform

_EVERYWHERE = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
_IMAGES = ("linux_amd64", "linux_arm64")


class _Order(Struct, frozen=True):
    """The destination, names and annotations of what is published."""

    where: Reference
    client: RegistryClient
    tags: tuple[str, ...]
    annotations: dict[str, str]
    sbom: bool
    platforms: tuple[Platform, ...]
    force: bool

    def labelled(self, name: str, version: str, description: str = "") -> tuple[tuple[str, ...], dict[str, str]]:
        """Return the tags, and the annotations for what has this name and version."""
        from dstream.registry.packaging.single_file import created

        tags = (self.where.tag,) if self.where.tag else (f"v{version}",) if version else ()
        if not tags:
            raise click.UsageError(f"Give a version: {self.where.name}:v1.0.0.")
        about = {"title": name, "version": version, "created": created(), "description": description}
        derived = {f"org.opencontainers.image.{key}": value for key, value in about.items() if value}
        return (*tags, *self.tags), {**derived, **self.annotations}


@click.command("publish", cls=Command)
@click.argument("reference")
@click.argument("package", required=False, type=click.Path(path_type=Path))
@option("binary", metavar="OS_ARCH=FILE", multiple=True, help="An executable for a platform, instead of PACKAGE.")
@flag("image", help="A container image, built from PACKAGE's Containerfile by docker or podman.")
@flag("freeze", help="PACKAGE has compiled parts: one file for this machine's platform, with Python in it.")
@option("platform", metavar="OS_ARCH", multiple=True, help=f"With PACKAGE: platforms. Default: {' '.join(_EVERYWHERE)}")
@option("program", metavar="NAME", help="With PACKAGE: the program, if it has several.")
@option("tag", metavar="TAG", multiple=True, help="Additional tag, such as latest.")
@option("annotation", metavar="NAME=VALUE", multiple=True, help="Such as org.opencontainers.image.source=URL.")
@option("layout", type=click.Choice(["index", "files"]), default="index", help="How platforms are stored.")
@flag("force", help="Replace a released version that has other content.")
@flag("sbom", default=True, help="Add a software bill of materials in SPDX format (default).")
def command(
    reference: str,
    package: Path | None,
    binary: tuple[str, ...],
    image: bool,
    freeze: bool,
    platform: tuple[str, ...],
    program: str | None,
    tag: tuple[str, ...],
    annotation: tuple[str, ...],
    layout: str,
    force: bool,
    sbom: bool,
) -> None:
    """Push a provider to a registry, for several platforms under one reference.

    PACKAGE is the folder of a Python package without compiled parts; it becomes one file that runs wherever Python
    runs. With -freeze, PyInstaller makes one with Python and all compiled parts in it, for this machine's platform.
    Pass executables that other tools or machines built with -binary. Without a tag in REFERENCE, the package's version
    is used.

    With -image, PACKAGE is any folder with a Containerfile; by default it is built for linux_amd64 and linux_arm64,
    and REFERENCE has a tag.

    A tag that is a version, such as v1.0.0, is released once: publishing other content under it is an error. The same
    content has the same digest, so publishing it again changes nothing. Other tags, such as latest, move.
    """
    from dstream.registry.mirror_names import host_of
    from dstream.registry.oci.client import RegistryClient
    from dstream.registry.oci.reference import parse_reference
    from dstream.registry.oci.transport import Transport
    from dstream.registry.platforms import parse_platform
    from dstream.registry.settings import load_settings

    where = parse_reference(reference)
    if where.digest:
        raise click.UsageError("Publish under a tag, not a digest.")
    if freeze and (package is None or image or platform):
        raise click.UsageError("-freeze needs the folder of a package, and builds for this machine's platform only.")
    if (package is None) == (not binary) and not freeze:
        raise click.UsageError("Give the folder of a package, or executables with -binary OS_ARCH=FILE.")
    if image and (package is None or program or layout == "files"):
        raise click.UsageError(
            "-image needs the folder of a package and cannot be combined with -binary, -program or -layout."
        )
    chosen = platform or (_IMAGES if image else _EVERYWHERE)
    client = RegistryClient(host_of(where.registry), Transport(load_settings()))
    order = _Order(
        where,
        client,
        tag,
        dict(_annotation(each) for each in annotation),
        sbom,
        tuple(parse_platform(each) for each in chosen),
        force,
    )
    if image and package is not None:
        top, shown = _image(order, package)
    else:
        top, shown = _artifact(order, package, binary, program, layout, freeze)
    tagged = where.tag or f"v{top.annotations['org.opencontainers.image.version']}"
    say_text(f"{where.name}:{tagged}\n  manifest  {top.digest}")
    for os_and_arch, what in sorted(shown.items()):
        say(f"  {os_and_arch!s:<14} {what}")


def _artifact(
    order: _Order, package: Path | None, binary: tuple[str, ...], program: str | None, layout: str, frozen: bool
) -> tuple[Manifest, dict[Platform, str]]:
    """Publish the executables of a package, or the given ones."""
    from dstream.registry.oci.content import digest_of_file
    from dstream.registry.oci.push import Pusher
    from dstream.registry.packaging.publish import publish
    from dstream.registry.packaging.single_file import Part, build
    from dstream.registry.packaging.single_file import sbom as list_of_parts
    from dstream.registry.platforms import parse_platform, this_platform

    where = order.where
    with tempfile.TemporaryDirectory() as folder:
        files: dict[Platform, Path] = {}
        parts: tuple[Part, ...] = ()
        name, version, description = where.repository.rpartition("/")[2], (where.tag or "").removeprefix("v"), ""
        if package is not None:
            if frozen:
                from dstream.registry.packaging.freeze import freeze

                built = freeze(package, Path(folder), program)
            else:
                built = build(package, Path(folder), program)
            name, description, parts = built.name, built.description, built.parts
            version = version or built.version
            files = dict.fromkeys([this_platform()] if frozen else order.platforms, built.path)
        for text in binary:
            os_arch, equals, file = text.partition("=")
            if not equals or not Path(file).is_file():
                raise click.BadParameter(
                    f"{text!r} is not OS_ARCH=FILE, or the file does not exist", param_hint="-binary"
                )
            files[parse_platform(os_arch)] = Path(file)
        tags, annotations = order.labelled(name, version, description)
        digests = {each.filename: digest_of_file(path)[0] for each, path in files.items()}
        about = list_of_parts(name, version, parts, digests) if order.sbom else None
        pusher = Pusher(order.client, where.repository)
        kind: Literal["files", "index"] = "files" if layout == "files" else "index"
        top = publish(pusher, files, tags, annotations, layout=kind, sbom=about, force=order.force)
        return top, {each: path.name for each, path in files.items()}


def _image(order: _Order, package: Path) -> tuple[Manifest, dict[Platform, str]]:
    """Build and publish a container image."""
    from dstream.plugins.container import find_engine
    from dstream.plugins.image_build import build_image, push_image
    from dstream.registry.oci.push import Pusher
    from dstream.registry.packaging.publish import publish_images, refuse_released
    from dstream.registry.packaging.single_file import parts_of
    from dstream.registry.packaging.single_file import sbom as list_of_parts

    where, engine = order.where, find_engine()
    name, version = where.repository.rpartition("/")[2], (where.tag or "").removeprefix("v")
    tags, annotations = order.labelled(name, version)
    pusher = Pusher(order.client, where.repository)
    if not order.force:  # before the images of the platforms replace those of the release
        refuse_released(pusher, tags)
    images = {}
    for each in order.platforms:
        # Not a version by its form, so that no constraint ever chooses the image of one platform.
        one = where.at(tag=f"{each.os}-{each.arch}-{tags[0]}")
        build_image(engine, package, str(one), each)
        images[each] = push_image(engine, order.client, one, each)
    digests = {f"{name}.{each}": image.digest for each, image in images.items()}
    about = list_of_parts(name, version, parts_of(package), digests) if order.sbom else None
    top = publish_images(pusher, images, tags, annotations, sbom=about, force=order.force)
    return top, {each: image.digest for each, image in images.items()}


def _annotation(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="-annotation")
    return name, value
