"""Files that an output appends to: whole lines, durable when `sync` returns, one process at a time."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator

from dstream_sdk.channel import log, write_all
from dstream_sdk.errors import ProviderError, RetriableError

_CHUNK = 64 * 1024
_LOCK_SECONDS = 10.0


class AppendedFile:
    """A file that grows by whole lines.

    Opening it removes an unfinished last line, left by a crash or a full disk. A short write is continued; a failed one
    (disk full, I/O error) raises ProviderError, and nothing more is written. A device or pipe is neither
    locked nor synced: that means nothing there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open or create the file and its folder, and lock the file.

        Raises RetriableError when another process keeps the lock for 10 s, ProviderError when the file cannot be
        opened.
        """
        self.path = os.fspath(path)
        self.dirty = False
        """Whether something was written since the last `sync`."""
        folder = os.path.dirname(self.path) or "."  # noqa: PTH120 - pathlib takes longer to import than the SDK
        try:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
            created = not os.path.exists(self.path)  # noqa: PTH110 - as above
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as problem:
            raise ProviderError("Cannot open file", f"{self.path}: {problem.strerror}", path="config.path") from None
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        try:
            if self._regular:
                self._lock()
            if created:
                _sync_folder(folder)
            self._repair()
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, lines: bytes) -> None:
        """Write whole lines, each with its newline; durable after `sync`. Raises ProviderError."""
        self.dirty = True
        with self._errors():
            write_all(self._fd, lines)

    def sync(self) -> None:
        """Make all written lines durable. Raises ProviderError, after which the session must end.

        After a failed fsync the kernel may have dropped the data, so that only a new session can deliver it again.
        """
        if self.dirty:
            with self._errors():
                if self._regular:
                    os.fsync(self._fd)
            self.dirty = False

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise ProviderError("Cannot write file", f"{self.path}: {problem.strerror}") from None

    def _lock(self) -> None:
        import fcntl

        # The previous session may still be ending.
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RetriableError(
                        "File in use", f"{self.path}: another process writes to it; give each task its own file"
                    ) from None
                time.sleep(0.05)
            except OSError:
                return  # the file system has no locks

    def _repair(self) -> None:
        """Cut the file after its last newline."""
        size = end = os.fstat(self._fd).st_size  # 0 for a pipe or device, which is left unchanged
        with self._errors():
            while end:
                start = max(0, end - _CHUNK)
                found = os.pread(self._fd, end - start, start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            if end < size:
                log(f"{self.path}: removed {size - end} bytes of an incomplete last line")
                os.ftruncate(self._fd, end)
                self.dirty = True


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
