"""Token: one word of a configuration, with its offsets. Types are named as python-hcl2's grammar names them."""

from __future__ import annotations


class Token:
    """One word: its type (a terminal of the grammar), its text, and where it starts and ends."""

    __slots__ = ("end", "start", "text", "type")

    def __init__(self, type_: str, text: str, start: int, end: int) -> None:
        """Take type, text and offsets; a plain class, since a file has tens of thousands of these."""
        self.type = type_
        self.text = text
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        """Return type, text and offsets for debugging."""
        return f"Token({self.type}, {self.text!r}, {self.start}, {self.end})"


END = "$END"
"""The type of the token after the last one."""
