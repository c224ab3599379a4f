"""Bytes from one pipe to another: looked at first, then passed on or dropped, in their order.

Copying works everywhere: what was read is written. Splicing is Linux's way: `tee` copies data for inspection, and
`splice` moves the pages without a second copy, which saves a third of the pump's work.

Source: https://man7.org/linux/man-pages/man2/tee.2.html and splice.2.html.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Callable
from typing import Protocol, cast

CHUNK = 256 * 1024
PIPE_SIZE = 1024 * 1024
"""Looks of a quarter of the pipe stay in the processor's cache: 256 KiB moved a quarter more than 1 MiB did."""
_SET_PIPE_SIZE, _GET_PIPE_SIZE = 1031, 1032  # F_SETPIPE_SZ and F_GETPIPE_SZ of Linux, absent from fcntl elsewhere


class Transfer(Protocol):
    """What has been peeked at is to be dropped or passed on, from its start, before the next peek."""

    def peek(self) -> bytes:
        """Wait for bytes and return up to CHUNK of them; nothing at the end of the source."""

    def drop(self, size: int) -> None:
        """Take the next `size` bytes out: the caller keeps them, or does without them."""

    def forward(self, chunk: bytes, start: int, cut: int) -> None:
        """Pass on the next bytes, which are `chunk[start:cut]`."""

    def close(self) -> None:
        """Free the resources of the transfer; the two pipes stay open."""


class Copying:
    """Reads and writes."""

    def __init__(self, source: int, sink: int) -> None:
        """Pass from `source` to `sink`, two descriptors."""
        self._source, self._sink = source, sink

    def peek(self) -> bytes:
        """Read."""
        return os.read(self._source, CHUNK)

    def drop(self, size: int) -> None:
        """Nothing has to be done: what was read is out."""

    def forward(self, chunk: bytes, start: int, cut: int) -> None:
        """Write a part of what was read."""
        view = memoryview(chunk)[start:cut]
        while view:
            view = view[os.write(self._sink, view) :]

    def close(self) -> None:
        """Nothing is held."""


class Splicing:
    """Duplicates pages into a pipe of its own, reads that, and moves the pages themselves."""

    def __init__(self, source: int, sink: int) -> None:
        """Pass from `source` to `sink`, two pipes; OSError where the system or these two do not allow it."""
        self._source, self._sink = source, sink
        for end in (source, sink):
            if not stat.S_ISFIFO(os.fstat(end).st_mode):
                raise OSError(errno.EINVAL, "not a pipe")
        self._tee = _tee()
        self._out, self._in = os.pipe()
        widen(self._out)
        if min(map(_pipe_size, (source, sink, self._out))) < CHUNK:
            self.close()
            raise OSError(errno.EPERM, "the pipes are too small to gain anything")

    def peek(self) -> bytes:
        """Duplicate the content of the source, and read the duplicate."""
        while (size := self._tee(self._source, self._in, CHUNK, 0)) < 0:
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))
        return _exactly(self._out, size) if size else b""

    def drop(self, size: int) -> None:
        """Read it again: it is still in the source."""
        _exactly(self._source, size)

    def forward(self, _chunk: bytes, start: int, cut: int) -> None:
        """Move the pages."""
        size = cut - start
        while size:
            size -= os.splice(self._source, self._sink, size)

    def close(self) -> None:
        """Close the duplicate's pipe."""
        os.close(self._out)
        os.close(self._in)


def transfer(source: int, sink: int) -> Transfer:
    """Return the faster of the two ways that works between these descriptors."""
    try:
        return Splicing(source, sink)
    except (OSError, AttributeError):
        return Copying(source, sink)


def widen(descriptor: int) -> None:
    """Ask for a pipe of 1 MiB, so that fewer and larger reads and writes pass; no matter if refused."""
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, PIPE_SIZE)


def _pipe_size(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, _GET_PIPE_SIZE)


def _tee() -> Callable[[int, int, int, int], int]:
    """Return the system call, which Python's os has not; AttributeError where the C library has none."""
    if not hasattr(os, "splice"):
        raise AttributeError("os.splice")
    tee = ctypes.CDLL(None, use_errno=True).tee
    tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)
    tee.restype = ctypes.c_ssize_t
    return cast("Callable[[int, int, int, int], int]", tee)


def _exactly(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    if len(data) == size:
        return data
    parts = [data]
    left = size - len(data)
    while left:
        parts.append(os.read(descriptor, left))
        left -= len(parts[-1])
    return b"".join(parts)
