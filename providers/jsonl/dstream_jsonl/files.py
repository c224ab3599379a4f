"""Files that are only ever appended to, whole lines at a time, by one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from dstream_sdk import ProviderError, RetriableError, log

_CHUNK = 64 * 1024
_LOCK_SECONDS = 10.0


class AppendedFile:
    """A file that grows by whole lines; what a crash left half written is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, take its lock, and repair its end.

        Raises RetriableError when another process keeps the lock for 10 s, ProviderError when the file
        cannot be opened.
        """
        self.path = path
        self.dirty = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            created = not path.exists()
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise ProviderError("Cannot open file", f"{path}: {problem.strerror}", path="config.path") from None
        try:
            self._lock()
            if created:
                _sync_folder(path.parent)
            self._repair()
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, lines: bytes) -> None:
        """Write whole lines; durable after `sync`."""
        self.dirty = True
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as problem:
            raise ProviderError("Cannot write file", f"{self.path}: {problem.strerror}") from None

    def sync(self) -> None:
        """Make everything written so far durable."""
        if not self.dirty:
            return
        try:
            os.fsync(self._fd)
        except OSError as problem:
            # After a failed fsync the kernel may forget what it could not write: only a new session, which
            # repeats the data, is safe.
            raise ProviderError("Cannot write file", f"{self.path}: {problem.strerror}") from None
        self.dirty = False

    def close(self) -> None:
        """Close the file and give up its lock."""
        os.close(self._fd)

    def _lock(self) -> None:
        # The session before this one may still be dying.
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RetriableError(
                        "File in use",
                        f"{self.path}: another process writes to it; give each task its own file",
                    ) from None
                time.sleep(0.05)
            except OSError:
                return  # a file system without locks

    def _repair(self) -> None:
        """Cut the file behind its last newline."""
        size = end = os.fstat(self._fd).st_size
        while end:
            start = max(0, end - _CHUNK)
            found = os.pread(self._fd, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        # A pipe or device has size 0 and is left alone.
        if end < size:
            log(f"{self.path}: cut {size - end} bytes of an unfinished last line")
            os.ftruncate(self._fd, end)
            self.dirty = True


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
