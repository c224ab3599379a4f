"""Classes of characters by name: POSIX's, Unicode's categories such as `Lu`, and scripts such as `Greek`."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache

NAMED = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7F", "blank": r"\t ", "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
"""POSIX's classes, as they stand in brackets."""
_CATEGORY = re.compile("[CLMNPSZ][a-z]?")
_SCRIPTS = {"Han": ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "CJK RADICAL", "KANGXI")}


class UnknownClass(Exception):
    """There is no class of this name."""


@cache
def ranges_of(name: str, negative: bool) -> str:
    """Return a category or script, or what is not in it, as it stands in brackets; raise UnknownClass.

    Python has no table of scripts: a character's script is what its name begins with, as in GREEK SMALL LETTER PI.
    """
    spans: list[tuple[int, int]] = []
    if name == "Any":
        spans.append((0, sys.maxunicode))
    elif _CATEGORY.fullmatch(name):
        spans = _spans(lambda character: unicodedata.category(character).startswith(name))
    else:
        starts = _SCRIPTS.get(name, (f"{name.upper().replace('_', ' ')} ",))
        spans = _spans(lambda character: unicodedata.name(character, "").startswith(starts))
    if not spans:
        raise UnknownClass(name)
    if negative:
        edges = [-1, *(edge for span in spans for edge in span), sys.maxunicode + 1]
        spans = [(low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True) if low + 1 <= high - 1]
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in spans)


def _spans(belongs: Callable[[str], bool]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for code in range(sys.maxunicode + 1):
        if belongs(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
    return found
