"""Token: one token of a configuration, with its offsets. Type names are those of python-hcl2's grammar."""

from __future__ import annotations


class Token:
    """One token: its type (a terminal of the grammar), text, start and end."""

    __slots__ = ("end", "start", "text", "type")

    def __init__(self, type_: str, text: str, start: int, end: int) -> None:
        """Take type, text and offsets. A plain class, since a large file has tens of thousands of tokens."""
        self.type = type_
        self.text = text
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        """Return type, text and offsets for debugging."""
        return f"Token({self.type}, {self.text!r}, {self.start}, {self.end})"


END = "$END"
"""The type of the token after the last one."""
