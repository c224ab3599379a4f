"""Local storage: files in one folder, a lock that lives as long as the processes that hold it.

Each cell is `NAME.json` (content), `NAME.meta` (metadata and tag) and `NAME.lock`. The lock file is never
replaced or deleted: its descriptor, which providers inherit, carries the lock (flock), so that a killed
engine's lock ends with its last provider. Content, metadata and files are replaced whole: temporary file,
fsync, rename, fsync of the folder. Logs grow in place under a lock of their own; sealing adds a last line,
which changes the length that appends expect.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from dstream_state.checksum import digest
from dstream_state.errors import SettingsError, StateUnavailable
from dstream_state.local_files import path_within, read_file, sync, sync_folder, write_all
from dstream_state.storage import UNREADABLE, Busy, Changed, Exists, Item, Missing, NotOwner, Refused, Stored

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "lustre"})
_SEAL = b'{"sealed":true}\n'


class LocalStorage:
    """`Storage` in a folder; see there for every method."""

    lease_seconds: float | None = None

    def __init__(self, place: Path, workspace: str) -> None:
        """Use the folder `place/workspace`."""
        self._place, self._folder = place, place / workspace
        self._locks: dict[tuple[str, str], int] = {}
        self._guard = threading.Lock()

    @classmethod
    def open(cls, settings: Mapping[str, str], root: Path, workspace: str) -> LocalStorage:
        """Read the settings of a `backend "local"` block: `path`, a folder (default `.dstream/state`)."""
        if unknown := sorted(settings.keys() - {"path"}):
            raise SettingsError(f'backend "local" has no argument {unknown[0]!r}. Its only argument is path.')
        return cls(root / settings.get("path", ".dstream/state"), workspace)

    def describe(self) -> str:
        """See `Storage`."""
        return f"local state in {self._folder}"

    def warnings(self) -> list[str]:
        """See `Storage`."""
        kind = _file_system(self._folder)
        if kind not in _NETWORK:
            return []
        return [
            (
                f"{self._folder} is on a network file system ({kind}), where locks between machines are not "
                'reliable. Use backend "azurerm" for state that several machines share.'
            )
        ]

    def prepare(self) -> None:
        """See `Storage`."""
        with self._state_errors():
            self._make(self._folder)

    def close(self) -> None:
        """See `Storage`."""

    def at(self, workspace: str) -> LocalStorage:
        """See `Storage`."""
        return LocalStorage(self._place, workspace)

    def workspaces(self) -> list[str]:
        """See `Storage`."""
        if not self._place.is_dir():
            return []
        return sorted(p.name for p in self._place.iterdir() if p.name != "default" and any(p.glob("*.meta")))

    # Cells.

    def read(self, name: str) -> Stored:
        """See `Storage`. Metadata first: content that is newer has absorbed what the metadata lists."""
        stored = self.read_meta(name)
        with self._state_errors():
            try:
                content = read_file(self._path(name, ".json"))
            except FileNotFoundError:
                content = b""
        return Stored(content, stored.meta, stored.tag)

    def read_meta(self, name: str) -> Stored:
        """See `Storage`."""
        with self._state_errors():
            path = self._path(name, ".meta")
            try:
                content = read_file(path)
            except FileNotFoundError:
                if self._path(name, ".json").exists() or self._path(name, ".lock").exists():
                    return Stored(b"", {}, "")
                raise Missing from None
            return _metadata(content, path)

    def acquire(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._state_errors():
            path = self._path(name, ".lock")
            self._make(path.parent)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise Busy from None
            except BaseException:
                os.close(fd)
                raise
        with self._guard:
            self._locks[name, lease] = fd

    def renew(self, name: str, lease: str) -> None:
        """See `Storage`."""
        self._owned(name, lease)

    def release(self, name: str, lease: str) -> None:
        """See `Storage`."""
        with self._guard:
            fd = self._locks.pop((name, lease), None)
        if fd is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def break_lease(self, name: str) -> None:
        """See `Storage`. A lock ends with its processes, and only then."""

    def inherit_fds(self, name: str, lease: str) -> tuple[int, ...]:
        """See `Storage`."""
        with self._guard:
            fd = self._locks.get((name, lease))
        return () if fd is None else (fd,)

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        self._check(name, lease, tag)
        with self._state_errors():
            self._replace(self._path(name, ".json"), content)
            return self._replace_meta(name, meta)

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        """See `Storage`."""
        self._check(name, lease, tag)
        with self._state_errors():
            return self._replace_meta(name, meta)

    def delete_cell(self, name: str, lease: str) -> None:
        """See `Storage`. The lock file stays: who waits for it must wait for the same one."""
        self._owned(name, lease)
        with self._state_errors():
            for suffix in (".json", ".meta"):
                self._path(name, suffix).unlink(missing_ok=True)

    # Logs.

    def create_log(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._state_errors():
            path = self._path(name, ".log")
            self._make(path.parent)
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                raise Exists from None
            try:
                write_all(fd, content)
                sync(fd)
            finally:
                os.close(fd)
            sync_folder(path.parent)

    def append(self, name: str, position: int, content: bytes) -> None:
        """See `Storage`."""
        with self._state_errors(), self._log(name) as fd:
            if os.fstat(fd).st_size != position:
                raise Refused
            os.lseek(fd, position, os.SEEK_SET)
            write_all(fd, content)
            sync(fd)

    def seal(self, name: str) -> None:
        """See `Storage`."""
        try:
            with self._state_errors(), self._log(name) as fd:
                size = os.fstat(fd).st_size
                content = os.pread(fd, size, 0)
                if content.endswith(_SEAL):
                    return
                complete = content.rfind(b"\n") + 1  # What follows was never relied upon: its append did not end.
                os.ftruncate(fd, complete)
                os.lseek(fd, complete, os.SEEK_SET)
                write_all(fd, _SEAL)
                sync(fd)
        except Refused:
            raise Missing from None

    def read_log(self, name: str) -> Stored:
        """See `Storage`."""
        with self._state_errors():
            try:
                content = read_file(self._path(name, ".log"))
            except FileNotFoundError:
                raise Missing from None
        return Stored(content.removesuffix(_SEAL), {}, str(len(content)))

    def delete_log(self, name: str, tag: str | None = None) -> None:
        """See `Storage`."""
        try:
            with self._state_errors(), self._log(name) as fd:
                if tag is not None and str(os.fstat(fd).st_size) != tag:
                    raise Changed
                # Sealed before it goes: an append that waits for the lock has this file open.
                os.lseek(fd, 0, os.SEEK_END)
                write_all(fd, _SEAL)
                self._path(name, ".log").unlink(missing_ok=True)
        except Refused:
            return

    # Files.

    def put(self, name: str, content: bytes) -> None:
        """See `Storage`."""
        with self._state_errors():
            path = self._path(name, "")
            self._make(path.parent)
            self._replace(path, content)

    def get(self, name: str) -> bytes:
        """See `Storage`."""
        with self._state_errors():
            try:
                return read_file(self._path(name, ""))
            except FileNotFoundError:
                raise Missing from None

    def delete(self, name: str) -> None:
        """See `Storage`."""
        with self._state_errors():
            self._path(name, "").unlink(missing_ok=True)

    def cells(self, prefix: str) -> list[str]:
        """See `Storage`."""
        return self._names(prefix, ".meta")

    def logs(self) -> list[str]:
        """See `Storage`."""
        return self._names("", ".log")

    def files(self, prefix: str) -> list[Item]:
        """See `Storage`."""
        top = self._folder / prefix.partition("/")[0] if "/" in prefix else self._folder
        found = []
        with self._state_errors():
            for path in top.rglob("*"):
                name = path.relative_to(self._folder).as_posix()
                if not path.suffix and name.startswith(prefix) and path.is_file():
                    found.append(Item(name, path.stat().st_size))
        return sorted(found, key=lambda item: item.name)

    def _names(self, prefix: str, suffix: str) -> list[str]:
        with self._state_errors():
            names = (
                p.relative_to(self._folder).as_posix().removesuffix(suffix) for p in self._folder.rglob(f"*{suffix}")
            )
            return sorted(name for name in names if name.startswith(prefix))

    def _path(self, name: str, suffix: str) -> Path:
        return path_within(self._folder, f"{name}{suffix}")

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder == self._place:
            for parent in reversed(folder.parents):
                parent.mkdir(mode=0o700, exist_ok=True)
        else:
            self._make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)

    def _owned(self, name: str, lease: str) -> None:
        with self._guard:
            if (name, lease) not in self._locks:
                raise NotOwner

    def _check(self, name: str, lease: str, tag: str) -> None:
        self._owned(name, lease)
        if self.read_meta(name).tag != tag:
            raise Changed

    def _replace_meta(self, name: str, meta: Mapping[str, str]) -> str:
        tag = uuid.uuid4().hex
        self._replace(self._path(name, ".meta"), json.dumps({"tag": tag, "meta": meta}, indent=1).encode())
        return tag

    def _replace(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                write_all(fd, content)
                sync(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)

    @contextlib.contextmanager
    def _log(self, name: str) -> Iterator[int]:
        """Open a log under its lock. Raises Refused if there is none."""
        try:
            fd = os.open(self._path(name, ".log"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise Refused from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _state_errors(self) -> Iterator[None]:
        """Convert an operating system error to an error for the user."""
        try:
            yield
        except OSError as error:
            if error.filename is None:
                import shutil

                room = shutil.disk_usage(self._place).free if self._place.exists() else 0
                raise StateUnavailable(f"{self._folder}: {error.strerror} ({room} bytes free there)") from error
            raise StateUnavailable(f"{error.filename}: {error.strerror}") from error


def _file_system(folder: Path) -> str:
    """Return the file system type of `folder`, if the system reports it."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    path, best, kind = f"{folder.absolute()}/", "", ""
    for line in mounts:
        _, point, found, *_ = line.split()
        point = point.replace("\\040", " ").rstrip("/") + "/"
        if path.startswith(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _metadata(content: bytes, path: Path) -> Stored:
    """Return the metadata that a file has."""
    try:
        form = json.loads(content)
        if not isinstance(form["tag"], str) or not all(isinstance(text, str) for text in form["meta"].values()):
            raise ValueError("it is not the metadata of a state")
        return Stored(b"", form["meta"], form["tag"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "it is empty" if not content.strip() else f"{type(error).__name__}: {error}"
        return Stored(b"", {UNREADABLE: f"{path}: {why}"}, digest(content))
