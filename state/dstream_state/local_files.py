"""Files of a local state: paths that stay in their folder, reading that does not wait, writing that is on the disk.

Names of journals and tasks are read from the state itself, which a repository may contain: none leads out of the
folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from dstream_state.errors import StateDamaged, StateUnavailable


def path_within(folder: Path, name: str) -> Path:
    """Return the path of a stored name; raise StateDamaged for one that leads out of the folder, StateUnavailable for a
    symbolic link on the way.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
        raise StateDamaged(str(folder), f"the name {name[:100]!r} in it is not one that dstream gives")
    path = folder
    for part in ("", *parts):
        path = path / part
        if path.is_symlink():
            raise StateUnavailable(
                f"{path} is a symbolic link. dstream follows none within the folder of a state, since a repository can "
                "contain one that leads elsewhere. Move the file there, or set `path` of the backend."
            )
    return path


def read_file(path: Path) -> bytes:
    """Return the content of a file; raise OSError, also for a pipe or a device, which could be read without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "It is not a file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_all(fd: int, content: bytes) -> None:
    """Write all of the content."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int) -> None:
    """Return when what was written is on the disk itself; fsync of macOS does not promise that."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
