"""Channel: reads lines from the host and writes lines to it, with nothing else on standard output.

`take_over` moves the process's own standard output to standard error and its standard input to the null device before
user code is imported, so that a stray `print` of a library cannot break the protocol.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import json.encoder
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk import failpoints
from dstream_sdk.errors import HostGone, InvalidError
from dstream_sdk.json_numbers import marked, unmark

CONTROL_LIMIT = 16 * 1024 * 1024
"""A control line, a request or an opening line is no longer than this, in bytes."""

_CHUNK = 1024 * 1024
_FLUSH_AT = 256 * 1024
_LATENCY = 0.05
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux, absent from fcntl on other systems

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=marked)
_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=marked)


def _make_encoder() -> Callable[[Any], str]:
    """Return the encoder of text: CPython's C encoder, created once, if available."""
    make = getattr(json.encoder, "c_make_encoder", None)
    text = getattr(json.encoder, "c_encode_basestring", None)
    if make is None or text is None:
        return _compact.encode
    once = make(None, marked, text, None, ":", ",", False, False, False)
    return lambda value: "".join(once(value, 0))


_encode = _make_encoder()


def encode(value: Any) -> bytes:
    """Return compact JSON of `value` in UTF-8, keys in the order of the dict.

    A Decimal is a number with all its digits. ValueError for NaN and infinity, TypeError for what JSON does not have.
    """
    try:
        return unmark(_encode(value)).encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        return unmark(_ascii.encode(value)).encode()


def log(message: str) -> None:
    """Write one line for the user to standard error."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def take_over() -> tuple[int, int]:
    """Return private descriptors of standard input and output; point 0 at the null device and 1 at stderr.

    Text still in Python's buffer goes to stderr as well. From then on each printed line is written immediately, since
    the process may end without Python's cleanup.
    """
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return source, sink


def widen(fd: int) -> None:
    """Enlarge a pipe to 1 MiB, for fewer and larger reads and writes; ignored if refused."""
    if not sys.platform.startswith("linux"):
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, _SET_PIPE_SIZE, _CHUNK)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to `fd`, in as many pieces as it takes. Raises OSError, such as on a full disk."""
    view = memoryview(data)
    while view:
        try:
            written = os.write(fd, view)
        except BlockingIOError:  # another program made the terminal or pipe non-blocking
            select.select([], [fd], [])
            continue
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


class LineReader:
    """Reads whole lines from a descriptor; one thread at a time."""

    def __init__(self, fd: int) -> None:
        """Read from `fd`, which the reader does not close."""
        self.fd = fd
        self._buffer = b""

    def readline(self) -> bytes | None:
        """Return the next line without its end, or None at the end; an unfinished last line is a line."""
        parts = [self._buffer]
        size = len(self._buffer)
        chunk = self._buffer
        while (cut := chunk.find(b"\n")) < 0:
            if size > CONTROL_LIMIT:
                raise InvalidError("Line too long", f"a line from the host exceeds {CONTROL_LIMIT} bytes")
            chunk = os.read(self.fd, _CHUNK)
            if not chunk:
                self._buffer = b""
                return b"".join(parts) or None
            parts.append(chunk)
            size += len(chunk)
        self._buffer = chunk[cut + 1 :]
        parts[-1] = chunk[:cut]
        return b"".join(parts)

    def read(self) -> bytes:
        """Return the available bytes, at least one and at most about 1 MiB; b"" at the end."""
        if self._buffer:
            taken, self._buffer = self._buffer, b""
            return taken
        return os.read(self.fd, _CHUNK)

    def pending(self) -> bool:
        """Return whether `read` would return immediately."""
        return bool(self._buffer) or bool(select.select([self.fd], [], [], 0)[0])


class Writer:
    """Writes whole lines to the host; any thread may call it, and order is that of the calls.

    `put` buffers lines and writes them when there are many, on `flush`, and otherwise within about 50 ms; `send` writes
    immediately. Raises HostGone when the host has closed the pipe.
    """

    def __init__(self, fd: int) -> None:
        """Write to `fd`, which the writer does not close."""
        self.fd = fd
        self._lock = threading.Lock()
        self._parts: list[bytes] = []
        self._size = 0
        self._first = threading.Event()
        self._flusher: threading.Thread | None = None
        self._broken = False
        self._mid_line = failpoints.armed("mid_line")

    @property
    def size(self) -> int:
        """Bytes in the buffer."""
        return self._size

    def put(self, lines: bytes) -> None:
        """Buffer one or more complete lines, each with its newline."""
        with self._lock:
            if not self._size:
                self._start_clock()
            self._parts.append(lines)
            self._size += len(lines)
            if self._size >= _FLUSH_AT:
                self._flush()

    def send(self, line: bytes) -> None:
        """Write the buffer and then `line` (without newline)."""
        with self._lock:
            self._parts.append(line + b"\n")
            self._size += len(line) + 1
            self._flush()

    def flush(self) -> None:
        """Write the buffer."""
        with self._lock:
            self._flush()

    def _start_clock(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_in_time, name="flusher", daemon=True)
            self._flusher.start()
        self._first.set()

    def _flush_in_time(self) -> None:
        pause = threading.Event()
        while True:
            self._first.wait()
            self._first.clear()
            pause.wait(_LATENCY)
            try:
                self.flush()
            except HostGone:
                return

    def _flush(self) -> None:
        if self._broken:
            raise HostGone
        if not self._size:
            return
        text = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if self._mid_line and not text.startswith(b'{"status"') and failpoints.due("mid_line"):
            last = text.rfind(b"\n", 0, len(text) - 1) + 1
            self._write(text[: last + (len(text) - last) // 2])
            failpoints.die()
        self._write(text)

    def _write(self, text: bytes) -> None:
        try:
            write_all(self.fd, text)
        except OSError as problem:
            self._broken = True
            if problem.errno != errno.EPIPE:  # standard output may be a file, on a disk that is full
                log(f"error: cannot write to standard output: {problem.strerror}")
            raise HostGone from problem


def wrap(value: Any) -> Any:
    """Return `value` in wire form, a mapping with a key that starts with `$` inside of `{"$object": ...}`."""
    if value is WITHHELD:
        return {"$withheld": True}
    if value is UNKNOWN:
        return {"$unknown": True}
    if isinstance(value, Mapping):
        out = {key: wrap(item) for key, item in value.items()}
        return {"$object": out} if any(key.startswith("$") for key in out) else out
    if isinstance(value, list | tuple):
        return [wrap(item) for item in value]
    return value


def unwrap(value: Any) -> Any:
    """Return the value of a wire form; `{"$unknown": true}` becomes UNKNOWN, `{"$withheld": true}` WITHHELD."""
    if isinstance(value, dict):
        if len(value) == 1:
            if value.get("$unknown") is True:
                return UNKNOWN
            if value.get("$withheld") is True:
                return WITHHELD
            inner = value.get("$object")
            if isinstance(inner, dict):
                return {key: unwrap(item) for key, item in inner.items()}
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value


class _Unknown:
    """The singleton for values that are known only after apply."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
"""A configuration value that is known only after apply; it occurs in `plan`, never in a run."""


class _Withheld:
    """The singleton for secrets that the sender does not have."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "WITHHELD"


WITHHELD = _Withheld()
"""A sensitive attribute in `prior` that may differ from the desired one, or one that an object returns only once."""
