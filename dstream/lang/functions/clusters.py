"""Clusters: the characters of a text as readers see them."""

from __future__ import annotations


def clusters(text: str) -> list[str]:
    """Return the grapheme clusters of a text: each letter with the marks and joiners that follow it."""
    if text.isascii() and "\r\n" not in text:
        return list(text)
    import unicodedata

    found: list[str] = []
    for character in text:
        joins = found and (
            unicodedata.category(character) in ("Mn", "Me", "Mc")
            or character in "\u200d\ufe0f"
            or found[-1].endswith("\u200d")
            or "\U0001f3fb" <= character <= "\U0001f3ff"
            or (character == "\n" and found[-1] == "\r")
            or (_is_flag(character) and len(found[-1]) == 1 and _is_flag(found[-1]))
        )
        if joins:
            found[-1] += character
        else:
            found.append(character)
    return found


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
