"""Normal form: converts external text to Unicode normal form C, as all strings of the language."""

from __future__ import annotations


def normalized(text: str) -> str:
    """Return the text in Unicode normal form C, with U+FFFD for each half of a surrogate pair."""
    if text.isascii():
        return text
    import unicodedata

    return unicodedata.normalize("NFC", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
