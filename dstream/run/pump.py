"""The pump: moves bytes from the input's stdout to the output's stdin, whole lines only, without parsing a record.

Large chunks; in each it looks for the last newline, counts newlines and, where delivery is confirmed, finds the
control lines by their prefix. An unfinished line is held back: at the input's death it is dropped and reported,
never delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from dstream.run.transfer import CHUNK, Copying, Transfer, transfer

CHECKPOINT = b'{"checkpoint":'
END = b'{"end":'
ERROR = b'{"status":'
SCHEMA = b'{"schema":'
_NEXT_CHECKPOINT = b"\n" + CHECKPOINT
_NEXT_SCHEMA = b"\n" + SCHEMA


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
        on_error: Callable[[bytes], None] = lambda line: None,
        skip: int = 0,
        on_skipped: Callable[[list[bytes]], None] = lambda lines: None,
        limit: int | None = None,
        careful: int = 0,
        schemas: bool = False,
        settle: Callable[[], None] = lambda: None,
        connect: Callable[[int, int], Transfer] = transfer,
    ) -> None:
        """Move from `source` to `sink`.

        `before_write` is called before each write, and stops the pump by raising. `on_checkpoint(line, records)` is
        called for each checkpoint line, before it is written, with the number of records before it.
        `on_first_line(line)` returns how many bytes at its start are not passed on: all of an answer.
        `on_error(line)` is called, where delivery is confirmed, for the last line of an input that cannot go on.
        The first `skip` records are given to `on_skipped` instead. At most `limit` records are passed on. During the
        first `careful` records, `settle` is called after each checkpoint line, and waits until it is acknowledged.
        `schemas` says that the input may write lines with the columns of a stream, which are no records.
        `connect` says how bytes get from one to the other.
        """
        self._source, self._sink, self._connect = source, sink, connect
        self._copying = Copying(source, sink)  # for lines that are in the pump's hands already
        self._controls, self._max = controls, max_record_bytes
        self._before_write, self._on_checkpoint, self._on_first_line = before_write, on_checkpoint, on_first_line
        self._on_error = on_error
        self._skip, self._on_skipped, self._limit = skip, on_skipped, limit
        self._careful, self._settle = careful, settle
        self._schemas = schemas
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
        self._find = _search()

    def run(self) -> None:
        """Move until the input closes its stdout or `limit` is reached.

        Raises RecordTooLong, BrokenPipeError when the output is gone, and what the callbacks raise.
        """
        pipe = self._connect(self._source, self._sink)
        try:
            self._run(pipe)
        finally:
            pipe.close()

    def _run(self, pipe: Transfer) -> None:
        held: list[bytes] = []
        size = 0
        while not self.full and (chunk := pipe.peek()):
            start, cut = 0, chunk.rfind(b"\n") + 1
            if held and cut:
                start = chunk.index(b"\n") + 1
                if size + start > self._max + 1:
                    raise RecordTooLong
                pipe.drop(start)
                line = b"".join((*held, chunk[:start]))
                self._take(line, 0, len(line), self._copying)
                held, size = [], 0
            if self._max < CHUNK and max(map(len, chunk[start:cut].split(b"\n"))) > self._max:
                raise RecordTooLong
            if start < cut:
                self._take(chunk, start, cut, pipe)
            if cut < len(chunk) and not self.full:
                pipe.drop(len(chunk) - cut)
                held.append(chunk[cut:])
                size += len(chunk) - cut
                if size > self._max:
                    raise RecordTooLong
        self.dropped = size

    def _take(self, chunk: bytes, start: int, cut: int, pipe: Transfer) -> None:
        """Pass on the whole lines `chunk[start:cut]` of `pipe`, after what has to be looked at line by line."""
        if self._on_first_line is not None:
            size = self._on_first_line(chunk[start : chunk.index(b"\n", start) + 1])
            self._on_first_line = None
            pipe.drop(size)
            start += size
        if self._skip and start < cut:
            pipe.drop(cut - start)
            chunk, pipe = self._after_skipping(chunk[start:cut]), self._copying
            start, cut = 0, len(chunk)
        error = self._error_at(chunk, start, cut)
        cut -= len(error)
        while self._controls and self.records < self._careful:
            at = self._next_checkpoint(chunk, start, cut)
            if at < 0:
                break
            end = chunk.index(b"\n", at) + 1
            self._forward(chunk, start, end, pipe)
            self._settle()
            start = end
        if start < cut:
            self._forward(chunk, start, cut, pipe)
        if error:
            pipe.drop(len(error))
            self._on_error(error)

    def _error_at(self, chunk: bytes, start: int, cut: int) -> bytes:
        """Return the line at the end of `chunk[start:cut]` if it says that the input cannot go on, else nothing."""
        last = _last_line(chunk, start, cut)
        return chunk[last:cut] if self._controls and chunk.startswith(ERROR, last, cut) else b""

    def _after_skipping(self, block: bytes) -> bytes:
        kept, skipped = [], []
        for line in block.splitlines(keepends=True):
            if self._skip and not (self._controls and line.startswith((CHECKPOINT, END, ERROR, SCHEMA))):
                skipped.append(line.rstrip(b"\r\n"))
                self._skip -= 1
            else:
                kept.append(line)
        if skipped:
            self._on_skipped(skipped)
        return b"".join(kept)

    def _forward(self, chunk: bytes, start: int, cut: int, pipe: Transfer) -> None:
        records = _newlines(chunk, start, cut)
        if self._limit is not None and not self._controls and self.records + records >= self._limit:
            cut = _cut_after(chunk, start, self._limit - self.records)
            records = self._limit - self.records
            self.full = True
        if self._controls and self._may_have_controls(chunk, start, cut):
            records = self._look_for_controls(chunk, start, cut, records)
        records -= self._schema_lines(chunk, start, cut)
        self._before_write()
        pipe.forward(chunk, start, cut)
        self.records += records
        self.bytes += cut - start
        self.last_moved = time.monotonic()

    def _may_have_controls(self, chunk: bytes, start: int, cut: int) -> bool:
        """Tell, at the speed of memory, whether some line of `chunk[start:cut]` may begin like a control line."""
        if chunk.startswith(END, start) or self._next_checkpoint(chunk, start, cut) >= 0:
            return True
        return chunk.startswith(END, _last_line(chunk, start, cut))

    def _look_for_controls(self, chunk: bytes, start: int, cut: int, lines: int) -> int:
        """Report checkpoint lines and notice the end line; return the number of records among `lines`."""
        controls, passed, before = 0, start, self.records
        while (at := self._next_checkpoint(chunk, passed, cut)) >= 0:
            newline = chunk.index(b"\n", at)
            before += _newlines(chunk, passed, at) - self._schema_lines(chunk, passed, at)
            passed = newline + 1
            controls += 1
            self._on_checkpoint(chunk[at:newline], before)
        if chunk.startswith(END, _last_line(chunk, start, cut)):
            self.ended = True
            controls += 1
        return lines - controls

    def _schema_lines(self, chunk: bytes, start: int, cut: int) -> int:
        """Count lines with the columns of a stream."""
        if not self._schemas:
            return 0
        return chunk.count(_NEXT_SCHEMA, start, cut) + chunk.startswith(SCHEMA, start, cut)

    def _next_checkpoint(self, chunk: bytes, start: int, cut: int) -> int:
        """Return where the first checkpoint line begins, at or after the line start `start`, or -1."""
        if chunk.startswith(CHECKPOINT, start, cut):
            return start
        at = self._find(chunk, _NEXT_CHECKPOINT, start, cut)
        return at + 1 if at >= 0 else -1


def _last_line(chunk: bytes, start: int, cut: int) -> int:
    """Return where the last whole line of `chunk[start:cut]` begins."""
    return max(chunk.rfind(b"\n", start, cut - 1) + 1, start)


def _newlines(chunk: bytes, start: int, cut: int) -> int:
    """Count newlines in `chunk[start:cut]`.

    `replace` searches with the C library's memchr, and counts those of a whole five times as fast as `count` does.
    """
    outside = start + len(chunk) - cut
    if outside > len(chunk) // 4:
        part = chunk[start:cut]
        return len(part) - len(part.replace(b"\n", b""))
    every = len(chunk) - len(chunk.replace(b"\n", b""))
    return every - chunk.count(b"\n", 0, start) - chunk.count(b"\n", cut)


@cache
def _search() -> Callable[[bytes, bytes, int, int], int]:
    """Return `bytes.find` as a function (text, pattern, start, end), by the C library's memmem where there is one.

    That is two to four times as fast, and a good part of the pump's work.
    """
    import ctypes

    try:
        memmem = ctypes.CDLL(None).memmem
    except (OSError, AttributeError):
        return bytes.find
    memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    memmem.restype = ctypes.c_void_p

    def find(text: bytes, pattern: bytes, start: int, end: int) -> int:
        first = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value or 0
        at = memmem(first + start, end - start, pattern, len(pattern))
        return -1 if at is None else int(at) - first

    return find


def _cut_after(chunk: bytes, start: int, lines: int) -> int:
    at = start
    for _ in range(lines):
        at = chunk.index(b"\n", at) + 1
    return at
