"""The pump: moves bytes from the input's stdout to the output's stdin, whole lines only, without parsing a record.

Large reads, one write per read; per read it looks for the last newline, counts newlines and, where delivery is
confirmed, finds the control lines by their prefix. An unfinished line is held back: at the input's death it is
dropped and reported, never delivered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import cast

CHUNK = 256 * 1024
PIPE_SIZE = 1024 * 1024
"""Reads of a quarter of the pipe stay in the processor's cache: 256 KiB moved a quarter more than 1 MiB did."""
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux, absent from fcntl on other systems
CHECKPOINT = b'{"checkpoint":'
END = b'{"end":'
_NEXT_CHECKPOINT = b"\n" + CHECKPOINT
_NEXT_LENGTH = len(_NEXT_CHECKPOINT)


class RecordTooLong(Exception):
    """A line has more bytes than `max_record_bytes`."""


class Pump:
    """One direction of one session. `run` belongs to one thread; the counters may be read from any."""

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        controls: bool,
        max_record_bytes: int,
        before_write: Callable[[], None],
        on_checkpoint: Callable[[bytes, int], None],
        on_first_line: Callable[[bytes], int] | None = None,
        skip: int = 0,
        on_skipped: Callable[[list[bytes]], None] = lambda lines: None,
        limit: int | None = None,
        careful: int = 0,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """Move from `source` to `sink`.

        `before_write` is called before each write, and stops the pump by raising. `on_checkpoint(line, records)` is
        called for each checkpoint line, before it is written, with the number of records before it.
        `on_first_line(line)` returns how many bytes at its start are not passed on: all of an answer. The first
        `skip` records are given to `on_skipped` instead. At most `limit` records are passed on. During the first
        `careful` records, `settle` is called after each checkpoint line, and waits until it is acknowledged.
        """
        self._source, self._sink = source, sink
        self._controls, self._max = controls, max_record_bytes
        self._before_write, self._on_checkpoint, self._on_first_line = before_write, on_checkpoint, on_first_line
        self._skip, self._on_skipped, self._limit = skip, on_skipped, limit
        self._careful, self._settle = careful, settle
        self.records = 0
        """Records passed on."""
        self.bytes = 0
        self.dropped = 0
        """Bytes of an unfinished line that was dropped."""
        self.ended = False
        """Whether the input has written `end`."""
        self.full = False
        """Whether `limit` was reached."""
        self.last_moved = time.monotonic()
        self._contains = _search()

    def run(self) -> None:
        """Move until the input closes its stdout or `limit` is reached.

        Raises RecordTooLong, BrokenPipeError when the output is gone, and what the callbacks raise.
        """
        held: list[bytes] = []
        size = 0
        while not self.full and (chunk := os.read(self._source, CHUNK)):
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                held.append(chunk)
                size += len(chunk)
                if size > self._max:
                    raise RecordTooLong
                continue
            if held:
                if size + chunk.index(b"\n") > self._max:
                    raise RecordTooLong
                held.append(chunk)
                chunk = b"".join(held)
                cut += size
            if self._max < CHUNK and max(map(len, chunk[:cut].split(b"\n"))) > self._max:
                raise RecordTooLong
            held = [chunk[cut:]] if cut < len(chunk) else []
            size = len(chunk) - cut
            self._take(chunk, cut)
        self.dropped = size

    def _take(self, chunk: bytes, cut: int) -> None:
        """Pass on the whole lines `chunk[:cut]`, after what has to be looked at line by line."""
        start = 0
        if self._on_first_line is not None:
            start = self._on_first_line(chunk[: chunk.index(b"\n") + 1])
            self._on_first_line = None
        if self._skip and start < cut:
            chunk = self._after_skipping(chunk[start:cut])
            start, cut = 0, len(chunk)
        while self._controls and self.records < self._careful:
            at = _next_checkpoint(chunk, start, cut)
            if at < 0:
                break
            end = chunk.index(b"\n", at) + 1
            self._forward(chunk, start, end)
            self._settle()
            start = end
        if start < cut:
            self._forward(chunk, start, cut)

    def _after_skipping(self, block: bytes) -> bytes:
        kept, skipped = [], []
        for line in block.splitlines(keepends=True):
            if self._skip and not (self._controls and line.startswith((CHECKPOINT, END))):
                skipped.append(line.rstrip(b"\r\n"))
                self._skip -= 1
            else:
                kept.append(line)
        if skipped:
            self._on_skipped(skipped)
        return b"".join(kept)

    def _forward(self, chunk: bytes, start: int, cut: int) -> None:
        # Nothing behind the last whole line has a newline, so the whole chunk can be counted.
        records = chunk.count(b"\n", start, cut) if start or chunk.find(b"\n", cut) >= 0 else _newlines(chunk)
        if self._limit is not None and not self._controls and self.records + records >= self._limit:
            cut = _cut_after(chunk, start, self._limit - self.records)
            records = self._limit - self.records
            self.full = True
        if self._controls and self._may_have_controls(chunk):
            records = self._look_for_controls(chunk, start, cut, records)
        self._before_write()
        view = memoryview(chunk)[start:cut]
        while view:
            view = view[os.write(self._sink, view) :]
        self.records += records
        self.bytes += cut - start
        self.last_moved = time.monotonic()

    def _may_have_controls(self, chunk: bytes) -> bool:
        """Tell, at the speed of memory, whether some line of `chunk` may begin like a control line."""
        if chunk.startswith((CHECKPOINT, END)) or self._contains(chunk, len(chunk), _NEXT_CHECKPOINT, _NEXT_LENGTH):
            return True
        last = chunk.rfind(b"\n", 0, chunk.rfind(b"\n")) + 1
        return chunk.startswith(END, last)

    def _look_for_controls(self, chunk: bytes, start: int, cut: int, lines: int) -> int:
        """Report checkpoint lines and notice the end line; return the number of records among `lines`."""
        controls, passed, before = 0, start, self.records
        while (at := _next_checkpoint(chunk, passed, cut)) >= 0:
            newline = chunk.index(b"\n", at)
            before += chunk.count(b"\n", passed, at)
            passed = newline + 1
            controls += 1
            self._on_checkpoint(chunk[at:newline], before)
        last = max(chunk.rfind(b"\n", start, cut - 1) + 1, start)
        if chunk.startswith(END, last):
            self.ended = True
            controls += 1
        return lines - controls


def _newlines(chunk: bytes) -> int:
    """Count newlines, five times as fast as `count`: `replace` searches with the C library's memchr."""
    return len(chunk) - len(chunk.replace(b"\n", b""))


@cache
def _search() -> Callable[[bytes, int, bytes, int], object]:
    """Return a function (text, its length, pattern, its length) whose value is true if the text contains the pattern.

    The C library's memmem is two to four times as fast as `bytes.find`, and the pump's speed is that of this search.
    """
    import ctypes

    try:
        memmem = ctypes.CDLL(None).memmem
    except (OSError, AttributeError):
        return lambda text, _, pattern, __: pattern in text
    memmem.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    memmem.restype = ctypes.c_void_p
    return cast("Callable[[bytes, int, bytes, int], object]", memmem)


def _next_checkpoint(chunk: bytes, start: int, cut: int) -> int:
    """Return where the first checkpoint line begins, at or after the line start `start`, or -1."""
    if chunk.startswith(CHECKPOINT, start, cut):
        return start
    at = chunk.find(_NEXT_CHECKPOINT, start, cut)
    return at + 1 if at >= 0 else -1


def _cut_after(chunk: bytes, start: int, lines: int) -> int:
    at = start
    for _ in range(lines):
        at = chunk.index(b"\n", at) + 1
    return at


def widen(descriptor: int) -> None:
    """Ask for a pipe of 1 MiB, so that fewer and larger reads and writes pass; no matter if refused."""
    import contextlib
    import fcntl
    import sys

    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, _SET_PIPE_SIZE, PIPE_SIZE)
