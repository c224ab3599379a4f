"""Paint: colour on terminals that support it, plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from msgspec import Struct

from dstream.cli.render.terminal import control, one_line, put
from dstream.cli.render.width import WITHOUT_TERMINAL, columns_of, wrapped

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


class Paint(Struct, frozen=True):
    """Applies terminal styles to text if `enabled`, and has the columns that a text may take."""

    enabled: bool
    columns: int = WITHOUT_TERMINAL

    def __call__(self, text: str, *styles: str) -> str:
        """Return the text in the named styles (bold, dim, red, green, yellow, blue, magenta, cyan)."""
        if not self.enabled or not styles or not text:
            return text
        return control(f"[{';'.join(_CODES[style] for style in styles)}m") + text + control("[0m")


def paint_for(stream: TextIO, *, color: bool = True) -> Paint:
    """Return the paint for a stream: colour only on a terminal, never with NO_COLOR (https://no-color.org) set."""
    return Paint(color and on_terminal(stream) and not os.environ.get("NO_COLOR"), columns_of(stream))


def on_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with cursor control that shares no screen with the log."""
    logged = os.environ.get("DSTREAM_LOG") and not os.environ.get("DSTREAM_LOG_PATH")
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not logged


def say(text: str = "", *, stream: TextIO | None = None) -> None:
    """Write one line to standard output or another stream, and flush it; a line feed in the text becomes `\\n`."""
    put(one_line(text) + "\n", sys.stdout if stream is None else stream)


def say_prose(text: str, *, stream: TextIO | None = None) -> None:
    """Write sentences, on a terminal wrapped at spaces; elsewhere each paragraph is one line."""
    out = sys.stdout if stream is None else stream
    say_text("\n".join(wrapped(text, columns_of(out))) if out.isatty() else text, stream=out)


def say_text(text: str, *, stream: TextIO | None = None) -> None:
    """Write a text of several lines, whose parts by others are each on one line."""
    put(text + "\n", sys.stdout if stream is None else stream)


def say_lines(lines: Iterable[str]) -> None:
    """Write many lines to standard output: a large plan has 100,000 of them."""
    rest = iter(lines)
    while some := list(islice(rest, 500)):
        put("\n".join(map(one_line, some)) + "\n", sys.stdout)
