"""Files: what dstream makes is writable by its owner alone, code runs from nowhere else, what is read has a limit."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

_OPEN = {("/", "dev", "fd"), ("/", "dev", "stdin"), ("/", "proc", "self")}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def user_settings(environment: Mapping[str, str]) -> Path:
    """Return the user's folder for dstream's settings, which need not exist: `dstream` in XDG_CONFIG_HOME or ~/.config.

    A relative XDG_CONFIG_HOME would lie in the current folder, so it does not count.
    """
    given = Path(environment.get("XDG_CONFIG_HOME") or "")
    folder = given if given.is_absolute() else Path(environment.get("HOME") or "~").expanduser() / ".config"
    return folder / "dstream"


def restrict_umask() -> None:
    """Take the permission to write from group and others for all that this process makes; an umask may take more."""
    os.umask(os.umask(0o077) | 0o022)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically by one that only its owner may read; no link at its place is followed."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Make a folder and those above it, whatever the umask; existing ones stay as they are."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=mode, exist_ok=True)


def owner_writes(path: str, flags: int) -> int:
    """Open a file that only its owner may write; an `opener` of `open`."""
    return os.open(path, flags, 0o644)


def owner_reads(path: str, flags: int) -> int:
    """Open a file that only its owner may read and write, and no link; an `opener` of `open`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def writable_by_others(path: Path) -> str | None:
    """Return why another user could change what is at `path`, as the end of a sentence; None if none could.

    Write permission for the group is taken away where the file is ours: with umask 002 the group is the user alone.
    """
    about = path.stat()
    user = os.geteuid()
    if about.st_uid not in (0, user):
        return f"it belongs to the user with id {about.st_uid}"
    if about.st_mode & stat.S_IWOTH:
        return "every user can write to it"
    if about.st_mode & stat.S_IWGRP:
        if about.st_uid != user:
            return f"the group with id {about.st_gid} can write to it"
        path.chmod(stat.S_IMODE(about.st_mode) & ~stat.S_IWGRP)
    return None


LARGEST_TEXT = 32 << 20
"""Bytes of a file of the configuration, of variables or of settings."""


class UnsuitableFile(OSError):
    """A file that is too large, or that is no file: a pipe, a device, a folder."""


def read_file(path: Path, limit: int, *, pipe: bool = False) -> bytes:
    """Return the content of a file of at most `limit` bytes; raise OSError, UnsuitableFile among others.

    With `pipe`, an open pipe of this process is read too, as `<(command)` of a shell and /dev/stdin are. A pipe
    elsewhere would wait for a writer.
    """
    open_pipe = pipe and Path(os.path.abspath(path)).parts[:3] in _OPEN  # noqa: PTH100 - no link may be followed
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if open_pipe else os.O_NONBLOCK))
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) and not (open_pipe and stat.S_ISFIFO(about.st_mode)):
            kind = next((name for test, name in _KINDS if test(about.st_mode)), "not known")
            raise UnsuitableFile(errno.EINVAL, f"It is {kind}, not a file", str(path))
        if about.st_size > limit:
            raise UnsuitableFile(errno.EFBIG, f"It has {about.st_size:,} bytes; the limit is {limit:,}", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise UnsuitableFile(errno.EFBIG, f"It has more than {limit:,} bytes, which is the limit", str(path))
    return content
