"""Pulumi unpacking: unpacks an archive of a plugin within limits, and computes the digest of what a folder has."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from dstream.registry.errors import Tampered

MARK = ".dstream-archive"
"""The file in a plugin's folder with the digest of its archive; not part of its content."""
_RATIO, _SMALL = 40, 64 << 20
"""An archive unpacks to at most 64 MiB, or to 40 times its size; compressed programs reach 10 times."""
_MEMBERS = 20_000


def unpack(archive: Path, target: Path, what: str) -> None:
    """Unpack an archive (tar.gz) to the new folder `target`; raise Tampered if it is malformed or too large."""
    target.mkdir()
    try:
        with gzip.open(archive) as packed:
            limited = _Limited(packed, max(_SMALL, _RATIO * archive.stat().st_size))
            with tarfile.open(fileobj=limited, mode="r|") as tar:  # type: ignore[call-overload]  # reading is enough
                for number, member in enumerate(tar):
                    if number == _MEMBERS:
                        raise tarfile.TarError(f"it has more than {_MEMBERS} entries")
                    _extract(tar, member, target)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as problem:
        raise Tampered("Invalid plugin archive", f"The archive of {what} cannot be unpacked: {problem}.") from problem


def content_digest(folder: Path) -> str | None:
    """Return the digest of a folder's files: of the lines `SHA256  PATH` by path; None if it has links or devices.

    The provider `pulumi` computes the same.
    """
    lines = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            return None
        if path.is_file() and path != folder / MARK:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append((path.relative_to(folder).as_posix(), digest))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"


class _Limited:
    """The unpacked bytes of an archive, up to a limit."""

    def __init__(self, source: gzip.GzipFile, limit: int) -> None:
        self._source, self._left, self._limit = source, limit, limit

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; raise TarError where the limit is exceeded."""
        found = self._source.read(min(size, self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise tarfile.TarError(f"it unpacks to more than {self._limit} bytes, far more than programs do")
        return found


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write a file of an archive; TarError for one outside the folder, a link or a device: no release has any."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} is outside the archive's folder")
    content = tar.extractfile(member) if member.isfile() and not member.issparse() else None
    if content is None:
        if not member.isdir():
            raise tarfile.TarError(f"{member.name} is neither an ordinary file nor a folder")
        return
    place = target / path
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file)
