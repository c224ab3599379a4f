"""Image build: builds a folder with a Containerfile into a container image, by docker or podman, and pushes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dstream.diagnostics import DiagnosticsError, error
from dstream.plugins.container import plain_http
from dstream.registry.oci.content import INDEXES
from dstream.registry.platforms import Platform, parse_platform

if TYPE_CHECKING:
    from dstream.registry.oci.client import RegistryClient
    from dstream.registry.oci.content import Descriptor
    from dstream.registry.oci.reference import Reference

_RECIPES = ("Containerfile", "Dockerfile")


def build_image(engine: str, folder: Path, image: str, platform: Platform) -> None:
    """Build an image for a platform; the engine's output goes to stderr."""
    recipe = next((folder / name for name in _RECIPES if (folder / name).is_file()), None)
    if recipe is None:
        detail = f"{folder} has no {' or '.join(_RECIPES)}. `dstream providers new` makes packages that have one."
        raise DiagnosticsError(error("Image build failure", detail))
    options = ["--platform", f"{platform.os}/{platform.arch}", "--file", str(recipe), "--tag", image]
    _engine(engine, "Image build failure", "build", *options, str(folder))


def push_image(engine: str, client: RegistryClient, reference: Reference, platform: Platform) -> Descriptor:
    """Let the engine push an image, with its own login; return what the registry has then for the platform."""
    _engine(engine, "Image push failure", "push", *plain_http(engine, str(reference)), str(reference))
    found = client.manifest(reference.repository, reference.tag or "")
    if found.media_type not in INDEXES:
        return found.descriptor
    for each in found.descriptors("manifests"):  # with what else newer engines say of a build
        form = each.platform or {}
        if form.get("os") == platform.os and parse_platform(f"{platform.os}_{form.get('architecture')}") == platform:
            return each
    raise DiagnosticsError(error("Image push failure", f"{reference} has no image for {platform} after the push."))


def _engine(engine: str, summary: str, *arguments: str) -> None:
    """Run the engine and write what it prints, line by line, through the border before the terminal."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [engine, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
    if process.returncode:
        detail = f"{Path(engine).name} {arguments[0]} ended with exit code {process.returncode}; it says why above."
        raise DiagnosticsError(error(summary, detail))
