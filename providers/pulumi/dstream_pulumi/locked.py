"""Locked plugins: holds an installed plugin against the lock file of the configuration, each time before it starts.

`dstream providers pull` writes the digest of what it has unpacked to `.dstream.lock.hcl`:

    plugin "pulumi/acme@1.2.3" {
      archives = {
        linux_amd64 = "sha256:..."
      }
      contents = {
        linux_amd64 = "sha256:..."
      }
    }
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from functools import cache
from pathlib import Path

from dstream_sdk import InvalidError

LOCK_FILE = ".dstream.lock.hcl"
_MARK = ".dstream-archive"
_PLUGIN = re.compile(r'\bplugin\s+"pulumi/(?P<name>[a-z][a-z0-9-]*)@v?(?P<version>[^"\s]+)"\s*\{')
_CONTENTS = re.compile(r"\bcontents\s*=\s*\{(?P<entries>[^{}]*)\}")
_ENTRY = re.compile(r'"?(?P<platform>[a-z0-9]+_[a-z0-9]+)"?\s*[=:]\s*"(?P<digest>sha256:[0-9a-f]{64})"')
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def locked_versions(name: str, folder: Path | None = None) -> dict[str, str | None]:
    """Return the versions of a plugin in the lock file, with the digest of its content for this platform or None.

    Providers run in the folder of the configuration, which is where the lock file is.
    """
    try:
        text = ((folder or Path()) / LOCK_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    blocks = list(_PLUGIN.finditer(text))
    ends = [each.start() for each in blocks[1:]] + [len(text)]
    found: dict[str, str | None] = {}
    for block, end in zip(blocks, ends, strict=True):
        if block["name"] == name:
            contents = _CONTENTS.search(text, block.end(), end)
            entries = _ENTRY.finditer(contents["entries"]) if contents else ()
            found[block["version"]] = {each["platform"]: each["digest"] for each in entries}.get(_this_platform())
    return found


def require_content(reference: str, folder: Path, expected: str | None) -> None:
    """Raise InvalidError unless a plugin's folder has the content that the lock file names."""
    if expected is None:
        raise InvalidError(
            "Plugin not verified",
            f"{LOCK_FILE} names pulumi/{reference} without the digest of its content for {_this_platform()}. "
            f"Record it with: dstream providers pull pulumi/{reference}",
            path="config.plugin",
        )
    found = _content_digest(folder, _stamp(folder))
    if found != expected:
        raise InvalidError(
            "Plugin changed on disk",
            f"{folder} is not what was unpacked for pulumi/{reference}: its content is {found}, and {expected} in "
            f"{LOCK_FILE}. It was not started. To unpack it again, run: dstream providers pull pulumi/{reference}",
            path="config.plugin",
        )


@cache
def _content_digest(folder: Path, _stamp: object) -> str | None:
    """Return the digest of a folder's files: of the lines `SHA256  PATH` by path; None if it has links or devices."""
    lines = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            return None
        if path.is_file() and path != folder / _MARK:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append((path.relative_to(folder).as_posix(), digest))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _stamp(folder: Path) -> object:
    """Return what changes with the files of a folder, so that one process reads them once."""
    files = sorted(folder.rglob("*"))
    return tuple((str(each), (found := each.lstat()).st_ino, found.st_size, found.st_ctime_ns) for each in files)


def _this_platform() -> str:
    machine = platform.machine().lower()
    return f"{sys.platform}_{_MACHINES.get(machine, machine)}"
