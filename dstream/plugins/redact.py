"""Redactor: takes sensitive values out of what a provider writes, before it is shown or stored.

`spellings` has the forms in which a value is found. A value of fewer than four characters is not searched for: it would
take parts out of any text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from dstream.plugins.connection_strings import proxy_passwords
from dstream.plugins.spellings import SHORTEST, Spelling, Spellings, spellings

MASK = "(sensitive value)"
_MASK = MASK.encode()
_LONGEST_LINE = 64 * 1024
_LONGEST_SPELLING = 48 * 1024
TAIL_BYTES = 8 * 1024
TAIL_LINES = 20


class Redactor:
    """Replaces sensitive values by `(sensitive value)`. It learns more of them; any thread may use it.

    It also knows the passwords of the proxies in the environment, which errors of connections contain.
    """

    __slots__ = ("_by_value", "_known", "_lock", "_made")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the sensitive values; those that are too short to search for are passed over."""
        self._lock = threading.Lock()
        self._known: set[str] = set(secrets) | proxy_passwords()
        self._by_value: dict[str, list[Spelling]] = {}
        self._made = Spellings(())

    def learn(self, secrets: Iterable[str]) -> None:
        """Take more sensitive values, such as those that travel later."""
        with self._lock:
            self._known.update(secrets)

    def _spellings(self) -> Spellings:
        """Return the spellings of all values. They are computed for the first text, because most providers print
        nothing."""
        if len(self._by_value) != len(self._known):
            with self._lock:
                self._by_value = {each: self._by_value.get(each) or spellings(each) for each in self._known}
                self._made = Spellings(each for found in self._by_value.values() for each in found)
        return self._made

    def scrub(self, data: bytes) -> bytes:
        """Return `data` without sensitive values."""
        if not self._known:
            return data
        found = self._spellings().find(data)
        if not found:
            return data
        out, at = [], 0
        for start, end in found:
            if start >= at:
                out += [data[at:start], _MASK]
            at = max(at, end)
        return b"".join((*out, data[at:]))

    def text(self, text: str) -> str:
        """Return `text` without sensitive values."""
        if not self._known:
            return text
        return self.scrub(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def safe_length(self, data: bytes) -> int:
        """Return how much of a long line can be shown now: what follows may be the start of a sensitive value."""
        if not self._known:
            return len(data)
        cut = max(0, len(data) - _LONGEST_SPELLING)
        for start, end in self._spellings().find(data):
            if start < cut < end:
                return start
        return cut

    def may_continue(self, line: bytes) -> bool:
        """Return whether a line ends within a sensitive value, so that the next line may have the rest."""
        return bool(self._known) and self._spellings().may_continue(line)


class RedactedLines:
    """A stream of bytes that becomes redacted lines of text; a value across chunks or lines is found as well.

    A line that ends with the first four characters of a value, or more, waits for the next one.
    """

    __slots__ = ("_before", "_held", "_pending", "_redactor", "_sink")

    def __init__(self, redactor: Redactor, sink: Callable[[str], None]) -> None:
        """Hand each redacted line, without its end, to `sink`."""
        self._redactor, self._sink = redactor, sink
        self._pending = b""
        self._held: list[bytes] = []
        self._before = b""
        """The end of the last line that was shown: too little to wait for, but a value may begin there."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._take(line.removesuffix(b"\r"))
        if len(self._pending) > _LONGEST_LINE:
            cut = self._redactor.safe_length(self._pending)
            if cut:
                self._show(self._pending[:cut])
                self._pending = self._pending[cut:]

    def close(self) -> None:
        """Take the end of the stream."""
        if self._pending or self._held:
            self._show(self._pending.removesuffix(b"\r"))
            self._pending = b""

    def _take(self, line: bytes) -> None:
        joined = b"".join(map(bytes.strip, (*self._held, line)))
        if len(joined) <= _LONGEST_LINE and self._redactor.may_continue(joined):
            self._held.append(line)
        else:
            self._show(line)

    def _show(self, line: bytes) -> None:
        lines = [*self._held, line] if line or not self._held else self._held
        before = self._before + b"\n"
        shown = self._redactor.scrub(before + b"\n".join(lines)).removeprefix(before)
        self._held, self._before = [], lines[-1][1 - SHORTEST :]
        for each in shown.split(b"\n"):
            self._sink(each.decode("utf-8", "replace"))


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
