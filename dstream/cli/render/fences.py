"""Fences: text as Markdown code, fenced so that nothing in the text can close it."""

from __future__ import annotations

import re


def fenced(text: str) -> str:
    """Return a text as a code block whose fence does not occur in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}diff\n{text}\n{fence}"


def code(text: str) -> str:
    """Return a text as inline code whose fence does not occur in it."""
    line = " ".join(text.split("\n"))
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"
