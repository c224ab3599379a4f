"""Platform: operating system and architecture, by the names that Go and OCI use (linux, arm64)."""

from __future__ import annotations

import platform as python_platform
import re
import sys
from collections.abc import Mapping

from msgspec import Struct

from dstream.registry.errors import RegistryError

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "x64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i686": "386",
             "i386": "386", "armv7l": "arm", "armv6l": "arm"}  # fmt: skip
_FILE = re.compile(r"plugin\.(?P<os>[a-z0-9]+)_(?P<arch>[a-z0-9]+)(?:\.exe)?")
_NAME = re.compile(r"(?P<os>[a-z0-9]+)[_/](?P<arch>[a-z0-9]+)")


class Platform(Struct, frozen=True, order=True):
    """An operating system and an architecture."""

    os: str
    arch: str

    def __str__(self) -> str:
        """Return the name in lock files and file names: `linux_amd64`."""
        return f"{self.os}_{self.arch}"

    @property
    def filename(self) -> str:
        """Return the file name of an executable for this platform: `plugin.linux_amd64`."""
        return f"plugin.{self}{'.exe' if self.os == 'windows' else ''}"


def this_platform() -> Platform:
    """Return the platform of this machine."""
    system = {"win32": "windows", "cygwin": "windows"}.get(sys.platform, sys.platform.rstrip("0123456789"))
    machine = python_platform.machine().lower()
    return Platform(system, _MACHINES.get(machine, machine))


def platform_of_file(name: str) -> Platform | None:
    """Return the platform of an executable called `plugin.<os>_<arch>`, or None for another name."""
    match = _FILE.fullmatch(name.rpartition("/")[2])
    return Platform(match["os"], _MACHINES.get(match["arch"], match["arch"])) if match else None


def platform_in(form: Mapping[str, str] | None) -> Platform | None:
    """Return the platform of an index entry, None if it has none."""
    if not form or not form.get("os") or not form.get("architecture") or "unknown" in form.values():
        return None
    return parse_platform(f"{form['os']}_{form['architecture']}")


def parse_platform(text: str) -> Platform:
    """Parse a platform such as `linux_amd64` or `linux/amd64`; raise RegistryError if it is invalid."""
    match = _NAME.fullmatch(text.strip().lower().replace("x86_64", "amd64"))
    if not match:
        raise RegistryError(
            "Invalid platform", f"{text!r} is not a platform: write OS_ARCH, such as linux_amd64 or darwin_arm64."
        )
    return Platform(match["os"], _MACHINES.get(match["arch"], match["arch"]))
