"""Source: the text of one file, and the conversion of offsets to lines and columns."""

from __future__ import annotations

from bisect import bisect_right

from dstream.diagnostics import Position, SourceRange

WHITE_SPACE = "\t\n\v\f\r \x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The white space characters of HCL; Python's `strip` also removes some control characters."""


class Source:
    """The text of one file. Offsets, lines and columns count characters."""

    __slots__ = ("_line_starts", "filename", "text")

    def __init__(self, filename: str, text: str) -> None:
        """Take the file name for diagnostics, and the text."""
        self.filename = filename
        self.text = text
        self._line_starts: list[int] | None = None

    def position(self, offset: int) -> Position:
        """Return the position of an offset, which may be the end of the text."""
        starts = self._line_starts
        if starts is None:
            starts = self._line_starts = _line_starts(self.text)
        line = bisect_right(starts, offset)
        return Position(offset, line, offset - starts[line - 1] + 1)

    def range(self, start: int, end: int) -> SourceRange:
        """Return the range from `start` to `end`, exclusive."""
        return SourceRange(self.filename, self.position(start), self.position(end))


def _line_starts(text: str) -> list[int]:
    starts = [0]
    found = text.find("\n")
    while found >= 0:
        starts.append(found + 1)
        found = text.find("\n", found + 1)
    return starts
