"""Pulumi archives: fetches release archives of Pulumi plugins from mirror folders, then from a URL.

    MIRROR/get.pulumi.com/releases/plugins/{pulumi-resource-azure-native-v3.29.0-linux-amd64.tar.gz, SHA256SUMS}

A mirror folder has the layout of Pulumi's own server, so that any web server can serve it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from dstream.files import make_folder
from dstream.registry.errors import NotThere, RegistryError, Tampered
from dstream.registry.mirror_names import is_folder
from dstream.registry.oci.transport import Transport, is_loopback
from dstream.registry.settings import Settings

HOST = "get.pulumi.com"
_BELOW = "releases/plugins"
BASE_VARIABLE = "DSTREAM_PULUMI_PLUGINS"
SUMS = "SHA256SUMS"
_CHUNK = 1 << 20
_LARGEST = 4 << 30

Report = Callable[[str, int, int], None]


class Archives(Struct, frozen=True):
    """The places of archives in their order: folders, and the start of a URL as text."""

    locations: tuple[Path | str, ...]
    transport: Transport
    report: Report

    @property
    def shown(self) -> str:
        """Their names in messages."""
        return ", ".join(map(str, self.locations))

    def fetch(self, name: str, target: Path) -> str:
        """Write an archive to a file, from the first place that has it; return its digest."""
        missing = []
        for place in self.locations:
            try:
                return (
                    self._copied(place / name, target) if isinstance(place, Path) else self._loaded(place, name, target)
                )
            except NotThere:
                missing.append(f"{place}/{name}")
        where = ", nor at ".join(missing)
        raise NotThere("Plugin not found", f"Not found at {where}. Check that this version exists for this platform.")

    def _copied(self, path: Path, target: Path) -> str:
        if not path.is_file():
            raise NotThere("Plugin not found", str(path))
        shutil.copyfile(path, target)
        with target.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def _loaded(self, base: str, name: str, target: Path) -> str:
        url = f"{base}/{name}"
        host = url.partition("://")[2].partition("/")[0]
        if not url.startswith("https://") and not (url.startswith("http://") and is_loopback(host)):
            raise RegistryError(
                "Insecure download address",
                f"{url}: executables are downloaded over https only. Change {BASE_VARIABLE}, the archives' address.",
            )
        digest = hashlib.sha256()
        with self.transport.send("GET", url) as response, target.open("wb") as file:
            if response.status == 404:
                raise NotThere("Plugin not found", url)
            if response.status != 200:
                raise RegistryError("Plugin download failure", f"{url} returned status {response.status}.")
            stated = response.headers.get("Content-Length") or ""
            size, done = int(stated[:20]) if stated.isascii() and stated.isdigit() else 0, 0
            for chunk in response.stream(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if done > _LARGEST:
                    raise Tampered("Invalid plugin archive", f"{url} has more than {_LARGEST} bytes.")
                self.report(name, done, max(size, done))
        if size and done != size:
            raise Tampered("Incomplete plugin download", f"{url} has {size} bytes; {done} were received. Try again.")
        return f"sha256:{digest.hexdigest()}"


def archives(settings: Settings, environment: Mapping[str, str], transport: Transport, report: Report) -> Archives:
    """Return the sources of archives: the URL in the environment, otherwise by the settings of Pulumi's host."""
    base = environment.get(BASE_VARIABLE)
    if base:
        return Archives((base.rstrip("/"),), transport, report)
    own = settings.of(HOST)
    locations: list[Path | str] = [folder_of(mirror) for mirror in own.mirrors if is_folder(mirror)]
    if not own.only_mirrors or not own.mirrors:
        locations.append(f"https://{HOST}/{_BELOW}")
    if not locations:
        raise RegistryError(
            "Plugin not available from mirrors",
            f"Only mirrors may be used, and {', '.join(own.mirrors)} is not a folder: Pulumi plugins are mirrored to "
            f"folders. Copy them with: dstream providers mirror ./FOLDER, and add that folder to the mirrors; or set "
            f"{BASE_VARIABLE} to the address of a web server that has them.",
        )
    return Archives(tuple(locations), transport, report)


def folder_of(mirror: str) -> Path:
    """Return the folder of archives in a mirror folder."""
    return Path(mirror).expanduser() / HOST / _BELOW


def keep(folder: Path, name: str, archive: Path, digest: str) -> None:
    """Store a verified archive in a mirror folder, and its checksum in the format of `sha256sum -c`."""
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        shutil.copyfile(archive, Path(scratch, name)).replace(folder / name)
    sums = folder / SUMS
    lines = sums.read_text().splitlines() if sums.exists() else []
    known = {each: checksum for checksum, _, each in (line.partition("  ") for line in lines)}
    known[name] = digest.removeprefix("sha256:")
    sums.write_text("".join(f"{checksum}  {each}\n" for each, checksum in sorted(known.items())))
