"""`dstream providers publish`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from dstream.cli.options import Command, flag, option
from dstream.cli.render.paint import say

_EVERYWHERE = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")


@click.command("publish", cls=Command)
@click.argument("reference")
@click.argument("package", required=False, type=click.Path(path_type=Path))
@option("binary", metavar="OS_ARCH=FILE", multiple=True, help="An executable for a platform, instead of PACKAGE.")
@option("platform", metavar="OS_ARCH", multiple=True, help=f"With PACKAGE: for which. Default: {' '.join(_EVERYWHERE)}")
@option("program", metavar="NAME", help="With PACKAGE: which of its programs.")
@option("tag", metavar="TAG", multiple=True, help="One more tag, as latest.")
@option("annotation", metavar="NAME=VALUE", multiple=True, help="As org.opencontainers.image.source=URL.")
@option("layout", type=click.Choice(["index", "files"]), default="index", help="How platforms are kept apart.")
@flag("sbom", default=True, help="Add a list of parts in SPDX (default).")
def command(
    reference: str,
    package: Path | None,
    binary: tuple[str, ...],
    platform: tuple[str, ...],
    program: str | None,
    tag: tuple[str, ...],
    annotation: tuple[str, ...],
    layout: str,
    sbom: bool,
) -> None:
    """Push a provider to a registry, for several platforms under one reference.

    PACKAGE is the folder of a Python package without compiled parts: it becomes one file that runs wherever Python
    does. Anything else is built by other tools and given with -binary. Without a tag in REFERENCE, the package's
    version is one.
    """
    from dstream.registry.chain import host_of
    from dstream.registry.client import RegistryClient
    from dstream.registry.package import Part, build, created
    from dstream.registry.package import sbom as list_of_parts
    from dstream.registry.platforms import Platform, parse_platform
    from dstream.registry.publish import publish
    from dstream.registry.pushing import Pusher
    from dstream.registry.reference import parse_reference
    from dstream.registry.settings import load_settings
    from dstream.registry.transport import Transport

    where = parse_reference(reference)
    if where.digest:
        raise click.UsageError("Publish under a tag; the digest follows from the content.")
    if (package is None) == (not binary):
        raise click.UsageError("Give the folder of a package, or executables with -binary OS_ARCH=FILE.")
    with tempfile.TemporaryDirectory() as folder:
        files: dict[Platform, Path] = {}
        parts: tuple[Part, ...] = ()
        name, version, description = where.repository.rpartition("/")[2], (where.tag or "").removeprefix("v"), ""
        if package is not None:
            built = build(package, Path(folder), program)
            name, description, parts = built.name, built.description, built.parts
            version = version or built.version
            files = {parse_platform(each): built.path for each in platform or _EVERYWHERE}
        for text in binary:
            os_arch, equals, file = text.partition("=")
            if not equals or not Path(file).is_file():
                raise click.BadParameter(f"{text!r} is not OS_ARCH=FILE, or there is no file", param_hint="-binary")
            files[parse_platform(os_arch)] = Path(file)
        tags = (where.tag,) if where.tag else (f"v{version}",) if version else ()
        if not tags:
            raise click.UsageError(f"Say which version this is: {where.name}:v1.0.0.")
        annotations = {
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.created": created(),
            **({"org.opencontainers.image.description": description} if description else {}),
            **dict(_annotation(each) for each in annotation),
        }
        about = list_of_parts(name, version, parts, {p.filename: f for p, f in files.items()}) if sbom else None
        client = RegistryClient(host_of(where.registry), Transport(load_settings()))
        top = publish(
            Pusher(client, where.repository),
            files,
            (*tags, *tag),
            annotations,
            layout="files" if layout == "files" else "index",
            sbom=about,
        )
    say(f"{where.name}:{tags[0]}\n  manifest  {top.digest}")
    for os_and_arch, path in sorted(files.items()):
        say(f"  {os_and_arch!s:<14} {path.name}")


def _annotation(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="-annotation")
    return name, value
