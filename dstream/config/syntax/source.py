"""Source: the text of one file, and the way from an offset in it to line and column."""

from __future__ import annotations

from bisect import bisect_right

from dstream.diagnostics import Position, SourceRange

WHITE_SPACE = "\t\n\v\f\r \x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters that HCL takes for white space: Python's `strip` takes some control characters too."""


class Source:
    """The text of one file as it is written. Offsets, lines and columns count characters."""

    __slots__ = ("_line_starts", "filename", "text")

    def __init__(self, filename: str, text: str) -> None:
        """Take the name that diagnostics show, and the text."""
        self.filename = filename
        self.text = text
        self._line_starts: list[int] | None = None

    def position(self, offset: int) -> Position:
        """Return the place of an offset; the end of the text is a place too."""
        starts = self._line_starts
        if starts is None:
            starts = self._line_starts = _line_starts(self.text)
        line = bisect_right(starts, offset)
        return Position(offset, line, offset - starts[line - 1] + 1)

    def range(self, start: int, end: int) -> SourceRange:
        """Return the range from one offset up to, and without, another."""
        return SourceRange(self.filename, self.position(start), self.position(end))


def _line_starts(text: str) -> list[int]:
    starts = [0]
    found = text.find("\n")
    while found >= 0:
        starts.append(found + 1)
        found = text.find("\n", found + 1)
    return starts
