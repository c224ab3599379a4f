"""The pump: moves bytes from the input's stdout to the output's stdin, whole lines only, without parsing a record.

It reads large chunks; in each it looks for the last newline, counts newlines and, where delivery is confirmed, finds
the control lines by their prefix. An unfinished line is held back: when the input dies it is dropped and reported,
never delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

from msgspec import Struct

from dstream.plugins.wire import CONTROL_LIMIT
from dstream.run.checkpoint_tracker import ProtocolBroken
from dstream.run.pump_handler import PumpHandler
from dstream.run.text_lines import without_text
from dstream.run.transfer import Copying, Transfer, transfer

CHECKPOINT = b'{"checkpoint":'
END = b'{"end":'
ERROR = b'{"status":'
SCHEMA = b'{"schema":'
_CONTROLS = (CHECKPOINT, END, ERROR, SCHEMA)
_NEXT_CHECKPOINT = b"\n" + CHECKPOINT
_NEXT_SCHEMA = b"\n" + SCHEMA
LARGEST_KEPT = 512 * 1024 * 1024
"""A record over the limit is kept in memory until it is stored; this many bytes are the most."""


class RecordTooLong(Exception):
    """A line has more than LARGEST_KEPT bytes."""


class PumpOptions(Struct, frozen=True):
    """What one pump is to do."""

    controls: bool
    """Whether delivery is confirmed: the input then writes control lines."""
    record_limit: int
    """Bytes that a record may have; a longer one goes to `PumpHandler.on_oversized`."""
    schemas: bool = False
    """Whether the input writes `schema` lines."""
    skip: int = 0
    """Records at the start that go to `PumpHandler.on_skipped`."""
    limit: int | None = None
    """Records to pass on at most, where there are no control lines."""
    envelopes: bool = False
    """Whether lines that are not envelopes go to `PumpHandler.on_text`."""
    careful: int = 0
    """Records at the start during which the pump settles after each checkpoint line."""


class Pump:
    """One direction of one session. `run` belongs to one thread; the counters may be read from any."""

    def __init__(
        self,
        source: int,
        sink: int,
        options: PumpOptions,
        handler: PumpHandler,
        connect: Callable[[int, int], Transfer] = transfer,
    ) -> None:
        """Move from the descriptor `source` to `sink`; `connect` returns the way that bytes take."""
        self._source, self._sink, self._connect = source, sink, connect
        self._copying = Copying(source, sink)  # for lines that the pump has taken out of the pipe
        self._options, self._handler = options, handler
        self._answered = False
        self._skip = options.skip
        self.records = 0
        """Records passed on."""
        self.bytes = 0
        self.text_lines = 0
        """Lines that were not envelopes, and not passed on."""
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

        Raises RecordTooLong, ProtocolBroken, BrokenPipeError when the output has exited, and what the handler raises.
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
                pipe.drop(start)
                self._take_held(b"".join((*held, chunk[:start])))
                held, size = [], 0
            if start < cut:
                self._take_lines(chunk, start, cut, pipe)
            if cut < len(chunk) and not self.full:
                pipe.drop(len(chunk) - cut)
                held.append(chunk[cut:])
                size += len(chunk) - cut
                if size > LARGEST_KEPT:
                    raise RecordTooLong
        self.dropped = size

    def _take_held(self, line: bytes) -> None:
        """Pass on a line that the pump has taken out of the pipe."""
        if self._is_too_long(line, 0, len(line) - 1):
            self._take_oversized(line[:-1])
        else:
            self._take(line, 0, len(line), self._copying)

    def _take_lines(self, chunk: bytes, start: int, cut: int, pipe: Transfer) -> None:
        """Pass on whole lines, but for those that are too long. A chunk is no longer than the usual limit."""
        limit = self._options.record_limit
        if not self._answered and cut - start > limit + 1:
            end = chunk.index(b"\n", start) + 1
            self._take(chunk, start, end, pipe)
            start = end
        at = start
        while cut - at > limit + 1 and not self.full:
            # Up to the last newline that is near enough, no line is too long.
            near = chunk.rfind(b"\n", at, at + limit + 1)
            if near >= 0:
                at = near + 1
                continue
            end = chunk.index(b"\n", at)
            if self._is_too_long(chunk, at, end):
                if start < at:
                    self._take(chunk, start, at, pipe)
                if self.full:
                    return
                pipe.drop(end + 1 - at)
                self._take_oversized(chunk[at:end])
                start = end + 1
            at = end + 1
        if start < cut and not self.full:
            self._take(chunk, start, cut, pipe)

    def _is_too_long(self, text: bytes, start: int, end: int) -> bool:
        """Return whether the line `text[start:end]` is a record over the limit.

        Raises ProtocolBroken if it is a control line, or the answer to the opening line, over their limit.
        """
        size = end - start
        if size <= self._options.record_limit:
            return False
        if self._answered and not (self._options.controls and text.startswith(_CONTROLS, start, end)):
            return True
        if size > CONTROL_LIMIT:
            raise ProtocolBroken("input", f"wrote a control line of {size} bytes; {CONTROL_LIMIT} are allowed.")
        return False

    def _take_oversized(self, line: bytes) -> None:
        self._skip = max(self._skip - 1, 0)
        self._handler.on_oversized(line)
        self.last_moved = time.monotonic()

    def _take(self, chunk: bytes, start: int, cut: int, pipe: Transfer) -> None:
        """Pass on the complete lines `chunk[start:cut]` of `pipe`, after handling those that must be parsed."""
        if not self._answered:
            size = self._handler.on_first_line(chunk[start : chunk.index(b"\n", start) + 1])
            self._answered = True
            pipe.drop(size)
            start += size
        if self._options.envelopes and start < cut:
            envelopes, texts = without_text(chunk, start, cut)
            if envelopes is not None:
                pipe.drop(cut - start)
                chunk, start, cut, pipe = envelopes, 0, len(envelopes), self._copying
            self.text_lines += len(texts)
            if texts:
                self._handler.on_text(texts)
        if self._skip and start < cut:
            pipe.drop(cut - start)
            chunk, pipe = self._after_skipping(chunk[start:cut]), self._copying
            start, cut = 0, len(chunk)
        error = self._error_at(chunk, start, cut)
        cut -= len(error)
        while self._options.controls and self.records < self._options.careful:
            at = self._next_checkpoint(chunk, start, cut)
            if at < 0:
                break
            end = chunk.index(b"\n", at) + 1
            self._forward(chunk, start, end, pipe)
            self._handler.settle()
            start = end
        if start < cut:
            self._forward(chunk, start, cut, pipe)
        if error:
            pipe.drop(len(error))
            self._handler.on_last_line(error)

    def _error_at(self, chunk: bytes, start: int, cut: int) -> bytes:
        """Return the line at the end of `chunk[start:cut]` if it says that the input cannot continue, else nothing."""
        last = _last_line(chunk, start, cut)
        return chunk[last:cut] if self._options.controls and chunk.startswith(ERROR, last, cut) else b""

    def _after_skipping(self, block: bytes) -> bytes:
        kept, skipped = [], []
        for line in block.splitlines(keepends=True):
            if self._skip and not (self._options.controls and line.startswith(_CONTROLS)):
                skipped.append(line.rstrip(b"\r\n"))
                self._skip -= 1
            else:
                kept.append(line)
        if skipped:
            self._handler.on_skipped(skipped)
        return b"".join(kept)

    def _forward(self, chunk: bytes, start: int, cut: int, pipe: Transfer) -> None:
        records = _newlines(chunk, start, cut)
        limit, controls = self._options.limit, self._options.controls
        if limit is not None and not controls and self.records + records >= limit:
            cut = _cut_after(chunk, start, limit - self.records)
            records = limit - self.records
            self.full = True
        if controls and self._may_have_controls(chunk, start, cut):
            records = self._look_for_controls(chunk, start, cut, records)
        self._handler.before_write()
        pipe.forward(chunk, start, cut)
        self.records += records
        self.bytes += cut - start
        self.last_moved = time.monotonic()

    def _may_have_controls(self, chunk: bytes, start: int, cut: int) -> bool:
        """Tell, at the speed of memory, whether some line of `chunk[start:cut]` may begin like a control line."""
        if self._options.schemas or chunk.startswith(END, start) or self._next_checkpoint(chunk, start, cut) >= 0:
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
            self._handler.on_checkpoint(chunk[at:newline], before)
        if chunk.startswith(END, _last_line(chunk, start, cut)):
            self.ended = True
            controls += 1
        return lines - controls - self._schema_lines(chunk, start, cut)

    def _schema_lines(self, chunk: bytes, start: int, cut: int) -> int:
        """Count the `schema` lines of `chunk[start:cut]`."""
        if not self._options.schemas:
            return 0
        count = int(chunk.startswith(SCHEMA, start, cut))
        while (at := self._find(chunk, _NEXT_SCHEMA, start, cut)) >= 0:
            count += 1
            start = at + 1
        return count

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

    `replace` searches with the C library's memchr, and is five times as fast as `count` on a complete text.
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
