"""Width: how many columns a stream has, and text wrapped to them at spaces."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from typing import TextIO

WITHOUT_TERMINAL = 102
"""Columns of text in files and pipes: the same everywhere, so that it can be compared."""
_NARROWEST = 20
_UNKNOWN = 80


def columns_of(stream: TextIO) -> int:
    """Return the columns of a terminal now: COLUMNS if it is set, or its own, since it may be resized."""
    if not stream.isatty():
        return WITHOUT_TERMINAL
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return max(_NARROWEST, int(given))
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return max(_NARROWEST, found) if found else _UNKNOWN


def cells(text: str) -> int:
    """Return how many columns a text takes: two for each wide character, none for one that combines."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def wrapped(text: str, columns: int) -> Iterator[str]:
    """Yield the lines of a text, none wider than `columns` unless it is one word; indented lines stay as they are."""
    for paragraph in text.splitlines():
        if cells(paragraph) <= columns or paragraph.startswith(" "):
            yield paragraph
            continue
        line, width = "", 0
        for word in paragraph.split():
            size = cells(word)
            if line and width + 1 + size > columns:
                yield line
                line, width = word, size
            else:
                line, width = (f"{line} {word}", width + 1 + size) if line else (word, size)
        yield line
