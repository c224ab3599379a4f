"""Plugins of Pulumi: release archives, fetched to where Pulumi's own CLI keeps plugins, with their checksum locked.

`pulumi/azure-native@3.29.0` is the archive `pulumi-resource-azure-native-v3.29.0-linux-amd64.tar.gz` below a base
address: Pulumi's own, or what DSTREAM_PULUMI_PLUGINS says. It ends up in the folder
`$PULUMI_HOME/plugins/resource-azure-native-v3.29.0` (https://www.pulumi.com/docs/iac/concepts/plugins/).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dstream.registry.failures import NotThere, RegistryError, Tampered
from dstream.registry.install import Report
from dstream.registry.lockfile import LockedPlugin, read_lock, write_lock
from dstream.registry.platforms import Platform, this_platform
from dstream.registry.transport import Transport, is_loopback

PREFIX = "pulumi/"
BASE = "https://get.pulumi.com/releases/plugins"
BASE_VARIABLE = "DSTREAM_PULUMI_PLUGINS"
_REFERENCE = re.compile(r"pulumi/(?P<name>[a-z][a-z0-9-]*)@v?(?P<version>\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)")
_CHUNK = 1 << 20
_MARK = ".dstream-archive"
"""In a plugin's folder: the digest of the archive that it came from."""


@dataclass(frozen=True, slots=True)
class PluginReference:
    """A plugin by name and version."""

    name: str
    version: str

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{PREFIX}{self.name}@{self.version}"

    @property
    def executable(self) -> str:
        """The name of its executable."""
        return f"pulumi-resource-{self.name}"

    def archive(self, platform: Platform) -> str:
        """Return the name of the release archive."""
        return f"{self.executable}-v{self.version}-{platform.os}-{platform.arch}.tar.gz"


def parse_plugin(text: str) -> PluginReference | None:
    """Return the plugin that a reference names, None if it is none; raise RegistryError if it is written wrongly."""
    if not text.startswith(PREFIX):
        return None
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise RegistryError(
            "Invalid reference",
            f"{text!r} is no plugin of Pulumi: write pulumi/NAME@VERSION, as pulumi/azure-native@3.29.0.",
        )
    return PluginReference(match["name"], match["version"])


@dataclass(frozen=True, slots=True)
class Pulled:
    """A plugin that is there now."""

    folder: Path
    digest: str
    fetched: bool
    """Whether it was fetched; it was there otherwise."""


def pull_plugin(
    wanted: PluginReference,
    root: Path,
    transport: Transport,
    report: Report,
    platform: Platform | None = None,
    environment: Mapping[str, str] | None = None,
) -> Pulled:
    """Fetch a plugin, and lock its checksum in the folder `root`; one that differs from what is locked is refused."""
    environment = os.environ if environment is None else environment
    for_platform = platform or this_platform()
    lock = read_lock(root)
    entry = lock.plugins.get(str(wanted)) or LockedPlugin(str(wanted), {})
    expected = entry.archives.get(str(for_platform))
    plugins = Path(environment.get("PULUMI_HOME") or "~/.pulumi").expanduser() / "plugins"
    folder = plugins / f"resource-{wanted.name}-v{wanted.version}"
    if platform is not None and platform != this_platform():
        folder = folder.with_name(f"{folder.name}-{platform}")
    if expected is not None and _digest_of(folder, wanted) == expected:
        return Pulled(folder, expected, False)
    base = (environment.get(BASE_VARIABLE) or BASE).rstrip("/")
    plugins.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plugins, prefix=".pull-") as scratch:
        archive = Path(scratch) / "archive"
        digest = _download(f"{base}/{wanted.archive(for_platform)}", archive, transport, report)
        if expected not in (None, digest):
            raise Tampered(
                "Plugin has changed",
                f"{wanted} for {for_platform} is {digest} at {base}, and the lock file says {expected}. A release "
                "never changes: find out why before you delete the entry from .dstream.lock.hcl.",
            )
        unpacked = Path(scratch) / "plugin"
        _unpack(archive, unpacked, wanted)
        (unpacked / _MARK).write_text(digest)
        if folder.exists():
            folder.rename(Path(scratch) / "before")
        unpacked.rename(folder)
    write_lock(root, lock.with_plugin(entry.with_archive(str(for_platform), digest)))
    return Pulled(folder, digest, True)


def _digest_of(folder: Path, wanted: PluginReference) -> str | None:
    """Return the digest of the archive that a folder was unpacked from, None if nobody can tell."""
    try:
        return (folder / _MARK).read_text() if (folder / wanted.executable).is_file() else None
    except OSError:
        return None


def _download(url: str, target: Path, transport: Transport, report: Report) -> str:
    host = url.partition("://")[2].partition("/")[0]
    if not url.startswith("https://") and not (url.startswith("http://") and is_loopback(host)):
        raise RegistryError(
            "Plain http",
            f"{url}: what is executed comes over https. Mend {BASE_VARIABLE}, the address of the archives.",
        )
    digest = hashlib.sha256()
    with transport.send("GET", url) as response, target.open("wb") as file:
        if response.status == 404:
            raise NotThere("No such plugin", f"There is nothing at {url}. Is there such a version for this platform?")
        if response.status != 200:
            raise RegistryError("Plugin cannot be fetched", f"{url} answers with status {response.status}.")
        size, done = int(response.headers.get("Content-Length") or 0), 0
        for chunk in response.stream(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            report(url.rpartition("/")[2], done, max(size, done))
    if size and done != size:
        raise Tampered("Plugin is cut short", f"{url} has {size} bytes, and {done} came. Try again.")
    return f"sha256:{digest.hexdigest()}"


def _unpack(archive: Path, target: Path, wanted: PluginReference) -> None:
    target.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _extract(tar, member, target)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise Tampered("Plugin is no archive", f"What came for {wanted} cannot be unpacked: {problem}.") from problem
    executable = target / wanted.executable
    windows = target / f"{wanted.executable}.exe"
    if windows.is_file():
        shutil.copy2(windows, executable)
    if not executable.is_file():
        raise Tampered("Plugin is not in its archive", f"The archive of {wanted} has no file {wanted.executable}.")
    executable.chmod(0o755)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write a file of an archive; TarError for one outside the folder, a link or a device: no release has any."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} is outside of it")
    content = tar.extractfile(member) if member.isfile() else None
    if content is None:
        if not member.isdir():
            raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
        return
    place = target / path
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file)
