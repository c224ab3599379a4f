"""Pulumi plugins: unpacks release archives into the plugin folder of Pulumi's CLI, and locks their checksums.

`pulumi/azure-native@3.29.0` is the archive `pulumi-resource-azure-native-v3.29.0-linux-amd64.tar.gz`. It ends up in
the folder `$PULUMI_HOME/plugins/resource-azure-native-v3.29.0` (https://www.pulumi.com/docs/iac/concepts/plugins/).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from dstream.files import make_folder, writable_by_others
from dstream.registry.errors import RegistryError, Tampered
from dstream.registry.lockfile.lock_file import LockedPlugin, read_lock, write_lock
from dstream.registry.platforms import Platform, parse_platform, this_platform
from dstream.registry.pulumi_archives import Archives, folder_of, keep
from dstream.registry.pulumi_unpacking import MARK, content_digest, unpack

PREFIX = "pulumi/"
_REFERENCE = re.compile(r"pulumi/(?P<name>[a-z][a-z0-9-]*)@v?(?P<version>\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)")


class PluginReference(Struct, frozen=True):
    """A plugin by name and version."""

    name: str
    version: str

    def __str__(self) -> str:
        """Return the reference as text."""
        return f"{PREFIX}{self.name}@{self.version}"

    @property
    def executable(self) -> str:
        """The name of its executable."""
        return f"pulumi-resource-{self.name}"

    def archive(self, platform: Platform) -> str:
        """Return the name of the release archive."""
        return f"{self.executable}-v{self.version}-{platform.os}-{platform.arch}.tar.gz"


def parse_plugin(text: str) -> PluginReference | None:
    """Parse a plugin reference; return None for other references; raise RegistryError if it is malformed."""
    if not text.startswith(PREFIX):
        return None
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise RegistryError(
            "Invalid reference",
            f"{text!r} is not a Pulumi plugin: write pulumi/NAME@VERSION, such as pulumi/azure-native@3.29.0.",
        )
    return PluginReference(match["name"], match["version"])


class Pulled(Struct, frozen=True):
    """An installed plugin."""

    folder: Path
    digest: str
    fetched: bool
    """Whether it was fetched; otherwise it was installed before."""


def pull_plugin(
    plugin: PluginReference,
    root: Path,
    source: Archives,
    platform: Platform | None = None,
    environment: Mapping[str, str] | None = None,
) -> Pulled:
    """Fetch a plugin and lock its checksum in the folder `root`; raise RegistryError if it differs from a lock."""
    environment = os.environ if environment is None else environment
    for_platform = platform or this_platform()
    lock = read_lock(root)
    entry = lock.plugins.get(str(plugin)) or LockedPlugin(str(plugin), {})
    expected = entry.archives.get(str(for_platform))
    plugins = Path(environment.get("PULUMI_HOME") or "~/.pulumi").expanduser() / "plugins"
    folder = plugins / f"resource-{plugin.name}-v{plugin.version}"
    if platform is not None and platform != this_platform():
        folder = folder.with_name(f"{folder.name}-{platform}")
    make_folder(plugins)
    why = writable_by_others(plugins)
    if why is not None:
        detail = f"Pulumi executes plugins from {plugins}, and {why}. To fix this, run: chmod go-w {plugins}"
        raise Tampered("Plugins writable by other users", detail)
    content = entry.contents.get(str(for_platform))
    unpacked_before = expected is not None and content is not None and _digest_of(folder, plugin) == expected
    if unpacked_before and content_digest(folder) == content:
        return Pulled(folder, expected or "", False)
    with tempfile.TemporaryDirectory(dir=plugins, prefix=".pull-") as scratch:
        archive = Path(scratch) / "archive"
        digest = source.fetch(plugin.archive(for_platform), archive)
        if expected not in (None, digest):
            raise _changed(plugin, for_platform, digest, source, expected)
        unpacked = Path(scratch) / "plugin"
        _unpack(archive, unpacked, plugin)
        found = content_digest(unpacked) or ""
        if content not in (None, found):
            raise _changed(plugin, for_platform, f"{found} (unpacked)", source, content)
        (unpacked / MARK).write_text(digest)
        if folder.exists():
            folder.rename(Path(scratch) / "before")
        unpacked.rename(folder)
    write_lock(root, lock.with_plugin(entry.with_archive(str(for_platform), digest, found)))
    return Pulled(folder, digest, True)


def mirror_plugin(
    locked: LockedPlugin, mirror: str, source: Archives, platforms: Iterable[Platform] | None = None
) -> list[str]:
    """Copy the archives of a locked plugin, for all locked platforms or some of them, to a mirror folder.

    Return their names. An archive with another checksum is not copied.
    """
    plugin = parse_plugin(locked.source)
    if plugin is None:
        raise RegistryError("Damaged lock file", f"{locked.source} is not a Pulumi plugin.")
    chosen = None if platforms is None else {str(each) for each in platforms}
    copied = []
    with tempfile.TemporaryDirectory() as scratch:
        for platform, expected in sorted(locked.archives.items()):
            if chosen is not None and platform not in chosen:
                continue
            name, archive = plugin.archive(parse_platform(platform)), Path(scratch, "archive")
            digest = source.fetch(name, archive)
            if digest != expected:
                raise _changed(plugin, platform, digest, source, expected)
            keep(folder_of(mirror), name, archive, digest)
            copied.append(name)
    return copied


def _changed(
    plugin: PluginReference, platform: Platform | str, digest: str, source: Archives, expected: str | None
) -> Tampered:
    return Tampered(
        "Plugin mismatch with the lock file",
        f"{plugin} for {platform} is {digest} at {source.shown}, but {expected} in the lock file. A release "
        "never changes: find the reason before you delete the entry from .dstream.lock.hcl.",
    )


def _digest_of(folder: Path, plugin: PluginReference) -> str | None:
    """Return the digest of the archive that a folder was unpacked from, None if it is not recorded."""
    try:
        return (folder / MARK).read_text() if (folder / plugin.executable).is_file() else None
    except OSError:
        return None


def _unpack(archive: Path, target: Path, plugin: PluginReference) -> None:
    unpack(archive, target, str(plugin))
    executable = target / plugin.executable
    windows = target / f"{plugin.executable}.exe"
    if windows.is_file():
        shutil.copy2(windows, executable)
    if not executable.is_file():
        detail = f"The archive of {plugin} has no file {plugin.executable}."
        raise Tampered("Executable missing from plugin archive", detail)
    executable.chmod(0o755)
