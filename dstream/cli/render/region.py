"""Region: a few lines at the bottom of a terminal that are redrawn, below lines that scroll.

One thread writes everything, ten times a second, so that no caller waits for the terminal;
`line` may be called from any thread and from a signal handler.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections import deque
from collections.abc import Callable
from typing import TextIO

from dstream.cli.render.terminal import control, one_line, put, visible

_EVERY = 0.1
_HIGHEST = 12
_MOST_WAITING = 2000


class Region:
    """The redrawn lines at the bottom of a terminal."""

    def __init__(self, stream: TextIO, draw: Callable[[], list[str]]) -> None:
        """`draw` returns the current lines, without colour; it is called from the region's own thread."""
        self._stream, self._draw = stream, draw
        self._written: deque[str] = deque()
        self._shown: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="region", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write a permanent line above the region."""
        self._written.append(text)

    @property
    def over(self) -> bool:
        """Whether the region writes no more lines, because it is closed or the terminal was closed."""
        return self._over.is_set()

    def wait_for_room(self) -> None:
        """Wait while many lines are not written yet: a terminal takes them more slowly than a program has them."""
        while len(self._written) > _MOST_WAITING and not self._over.wait(0.01):
            pass

    def close(self) -> None:
        """Write the remaining lines, and remove the region."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(_EVERY):
                self._refresh(self._draw())
        finally:
            self._refresh([])

    def _refresh(self, lines: list[str]) -> None:
        columns, rows = size_of(self._stream)
        most, ending = max(1, min(_HIGHEST, rows - 2)), "…" if self._as_written("…") == "…" else "."
        shown = [fitted(self._as_written(line), columns - 1, ending) for line in lines[:most]]
        written = []
        while self._written:
            written.append(self._written.popleft())
        if not written and shown == self._shown:
            return
        back = control(f"[{len(self._shown)}A") if self._shown else ""
        text = back + control("[G") + control("[J") + "".join(f"{one_line(line)}\n" for line in [*written, *shown])
        self._shown = shown
        try:
            put(text, self._stream)
        except OSError:
            self._over.set()  # The terminal is gone; whoever writes next is told.

    def _as_written(self, line: str) -> str:
        """Return a line with the escapes that the border and the encoding put into it: they take columns too."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return visible(one_line(line)).encode(encoding, "backslashreplace").decode(encoding)


def size_of(stream: TextIO) -> tuple[int, int]:
    """Query the terminal for its columns and rows, since COLUMNS and LINES do not change when it is resized."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return columns or 80, rows or 24


def fitted(text: str, columns: int, ending: str = "…") -> str:
    """Return a text cut to this many columns, on one line; `ending` takes one column, and marks a cut."""
    out: list[str] = []
    room = columns
    for character in text:
        if not character.isprintable():
            character = "?"
        width = 0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > room:
            return "".join(out[:-1]) + ending if out else ""
        out.append(character)
        room -= width
    return "".join(out)
