"""Redactor: takes sensitive values out of what a provider writes, before it is shown or stored.

It finds each value raw, as JSON writes it, percent-encoded and in base64 (at each of the three alignments, since
`user:password` is often encoded in one piece). A value of several lines is known line by line, and the password in a
connection string for itself.
"""

from __future__ import annotations

import json
import re
import threading
from binascii import b2a_base64
from collections.abc import Callable, Iterable

from dstream.plugins.connection_strings import passwords_in

MASK = "(sensitive value)"
_MASK = MASK.encode()
_LONGEST_LINE = 64 * 1024
_SHORTEST_ENCODED = 4
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
TAIL_BYTES = 8 * 1024
TAIL_LINES = 20


class Redactor:
    """Replaces sensitive values by `(sensitive value)`. It learns more of them; any thread may use it."""

    __slots__ = ("_known", "_lock", "_made")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the sensitive values; empty ones are passed over."""
        self._lock = threading.Lock()
        self._known: set[str] = set(secrets)
        self._made: tuple[int, tuple[bytes, ...], re.Pattern[bytes] | None] = (0, (), None)

    def learn(self, secrets: Iterable[str]) -> None:
        """Take more sensitive values, such as those that travel later."""
        with self._lock:
            self._known.update(secrets)

    @property
    def _pattern(self) -> re.Pattern[bytes] | None:
        return self._ready()[1]

    def _ready(self) -> tuple[tuple[bytes, ...], re.Pattern[bytes] | None]:
        """Return the spellings of all values, made when a text has to be looked at: most providers say nothing."""
        count, ordered, pattern = self._made
        if count != len(self._known):
            with self._lock:
                secrets = set(self._known)
            needles = {form for secret in secrets for form in _forms(secret) if form}
            ordered = tuple(sorted(needles, key=lambda each: (-len(each), each)))
            pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
            self._made = (len(secrets), ordered, pattern)
        return ordered, pattern

    def scrub(self, data: bytes) -> bytes:
        """Return `data` without sensitive values."""
        pattern = self._pattern
        return data if pattern is None else pattern.sub(_MASK, data)

    def text(self, text: str) -> str:
        """Return `text` without sensitive values."""
        if self._pattern is None:
            return text
        return self.scrub(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def safe_length(self, data: bytes) -> int:
        """Return how much of `data` can be shown now: what follows may be the start of a sensitive value."""
        needles, pattern = self._ready()
        if pattern is None:
            return len(data)
        cut = len(data)
        for needle in needles:
            for length in range(min(len(needle) - 1, len(data)), len(data) - cut, -1):
                if data.endswith(needle[:length]):
                    cut = len(data) - length
                    break
        for match in pattern.finditer(data):
            if match.start() < cut < match.end():
                return match.start()
        return cut


def _forms(secret: str) -> Iterable[bytes]:
    yield from _encodings(secret)
    for line in secret.splitlines():
        if line.strip() and line != secret:
            yield from _encodings(line.strip())
    for password in passwords_in(secret):
        yield from _encodings(password)


def _encodings(secret: str) -> Iterable[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    yield raw
    for ascii_only in (True, False):
        quoted = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield quoted.encode("utf-8", "surrogateescape")
        yield quoted.replace("/", "\\/").encode("utf-8", "surrogateescape")
        yield json.dumps(quoted, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape")
    percent = b"".join(bytes((each,)) if each in _UNRESERVED else b"%%%02X" % each for each in raw)
    yield percent
    yield percent.replace(b"%20", b"+")
    if len(raw) < _SHORTEST_ENCODED:
        return
    for encode in (_base64, _url_safe):
        yield encode(raw)
        for offset in range(3):
            # The first and the last characters also depend on what stands around the value: leave them out.
            text = encode(b"\0" * offset + raw)
            start = (0, 2, 3)[offset]
            end = (len(raw) + offset) * 8 // 6
            if end - start >= _SHORTEST_ENCODED:
                yield text[start:end]


def _base64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


def _url_safe(data: bytes) -> bytes:
    return _base64(data).replace(b"+", b"-").replace(b"/", b"_")


class RedactedLines:
    """A stream of bytes that becomes redacted lines of text; a value across two chunks is found as well."""

    __slots__ = ("_pending", "_redactor", "_sink")

    def __init__(self, redactor: Redactor, sink: Callable[[str], None]) -> None:
        """Hand each redacted line, without its end, to `sink`."""
        self._redactor, self._sink = redactor, sink
        self._pending = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._show(line)
        if len(self._pending) > _LONGEST_LINE:
            cut = self._redactor.safe_length(self._pending)
            if cut:
                self._show(self._pending[:cut])
                self._pending = self._pending[cut:]

    def close(self) -> None:
        """Take the end of the stream."""
        if self._pending:
            self._show(self._pending)
            self._pending = b""

    def _show(self, line: bytes) -> None:
        self._sink(self._redactor.scrub(line.removesuffix(b"\r")).decode("utf-8", "replace"))


class Tail:
    """The last lines of a stream, for an error message; at most 20 lines and 8 KiB."""

    __slots__ = ("_lines", "_redactor", "_size")

    def __init__(self, redactor: Redactor | None = None) -> None:
        """Start empty. When it is shown, what `redactor` has learned since is taken out as well."""
        self._redactor = redactor
        self._lines: list[str] = []
        self._size = 0

    def add(self, line: str) -> None:
        """Take one more line."""
        line = line[-TAIL_BYTES:]
        self._lines.append(line)
        self._size += len(line)
        while len(self._lines) > TAIL_LINES or (self._size > TAIL_BYTES and len(self._lines) > 1):
            self._size -= len(self._lines.pop(0))

    def __str__(self) -> str:
        """Return the lines."""
        text = "\n".join(self._lines).strip("\n")
        return text if self._redactor is None else self._redactor.text(text)
