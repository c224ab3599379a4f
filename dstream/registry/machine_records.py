"""Machine records: what this machine has found out itself, such as a verified signature. No checkout can supply one.

    ~/.local/state/dstream/key                      32 random bytes, readable by this user alone
    ~/.local/state/dstream/records/<kind>/<name>    a record, with its HMAC-SHA256 under the key

`XDG_STATE_HOME` names another folder than `~/.local/state`; it must be absolute. A record that another key
authenticates, or none, does not exist: a repository may contain such a file. Git keeps no file private, so a key in a
repository does not count; a cache that restores the folder with its modes does restore the key.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dstream.files import replace_file

_KEY_BYTES = 32
_MAC_BYTES = 32
_LARGEST = 32 << 20


class MachineRecords:
    """Small records by kind and name. Safe for several processes; where nothing can be written, nothing is kept."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which need not exist."""
        self._folder = folder
        self._key: bytes | None = None

    def read(self, kind: str, name: str) -> bytes | None:
        """Return a record that this machine has written under this kind and name, or None."""
        import hmac

        key = self._key or _read_key(self._folder / "key")
        if key is None:
            return None
        self._key = key
        try:
            with self._path(kind, name).open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except OSError:
            return None
        mac, content = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(key, kind, name, content)):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._path(kind, name))  # for `drop_unused`
        return content

    def write(self, kind: str, name: str, content: bytes) -> bool:
        """Keep a record; return whether it could be written."""
        try:
            self._key = self._key or _make_key(self._folder)
            path = self._path(kind, name)
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
            replace_file(path, _mac(self._key, kind, name, content) + content)
        except OSError:
            return False
        return True

    def drop_unused(self, before: float) -> None:
        """Remove the records that were last used before a time, in seconds since 1970; they are found out again."""
        for path in self._folder.glob("records/*/*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _path(self, kind: str, name: str) -> Path:
        from hashlib import sha256

        return self._folder / "records" / kind / sha256(name.encode()).hexdigest()


def default_records(environment: Mapping[str, str] | None = None) -> MachineRecords:
    """Return the records of this user on this machine."""
    environment = os.environ if environment is None else environment
    given = Path(environment.get("XDG_STATE_HOME") or "")
    state = given if given.is_absolute() else Path(environment.get("HOME") or "~").expanduser() / ".local" / "state"
    return MachineRecords(state / "dstream")


def _mac(key: bytes, kind: str, name: str, content: bytes) -> bytes:
    import hmac

    label = b"".join(len(each).to_bytes(8, "big") + each for each in (kind.encode(), name.encode()))
    return hmac.digest(key, label + content, "sha256")


def _read_key(path: Path) -> bytes | None:
    """Return the key, None unless it is a file of this user that no other user may read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        private = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
        key = file.read(_KEY_BYTES + 1) if private else b""
    return key if len(key) == _KEY_BYTES else None


def _make_key(folder: Path) -> bytes:
    """Return the key, made if there is none that may be used; raise OSError if it cannot be written."""
    path = folder / "key"
    key = _read_key(path)
    if key is not None:
        return key
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.path.lexists(path):  # of another user, or readable by others: what it authenticates counts no more
        path.unlink()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        made = Path(scratch, "key")
        replace_file(made, os.urandom(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # of two processes, the first one's key stays
    key = _read_key(path)
    if key is None:
        raise OSError(f"{path} cannot be kept private")
    return key
