"""Fences: texts as code in Markdown that nothing in them can end."""

from __future__ import annotations

import re


def fenced(text: str) -> str:
    """Return a text as a block of code that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}diff\n{text}\n{fence}"


def code(text: str) -> str:
    """Return a text as one line of code that nothing in it can end."""
    line = " ".join(text.split("\n"))
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"
