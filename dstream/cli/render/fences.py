"""Fences: text by others in Markdown and HTML, as text that is not interpreted.

In Markdown it becomes code, or escaped text in which nothing is a mention, a reference to an issue or an entity. GitHub
looks for `@team` and `#1` in the text of the rendered page, except in code: a space of no width separates them.
"""

from __future__ import annotations

import html
import re

from dstream.cli.render.terminal import one_line, visible

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!$&])")
_MENTION = re.compile(r"((?<![A-Za-z0-9])[@~%]|[#!]|\b[Gg][Hh]-)(?=[\w\"'])")
_NO_WIDTH = "&#8203;"


def fenced(text: str) -> str:
    """Return a text as a code block whose fence does not occur in it."""
    text = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}diff\n{text}\n{fence}"


def code(text: str) -> str:
    """Return a text as inline code whose fence does not occur in it."""
    line = visible(" ".join(text.split("\n")))
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def plain(text: str) -> str:
    """Return a text on one line of Markdown, in which nothing has a meaning."""
    pieces = _MENTION.split(visible(" ".join(text.split())))
    escaped = [_MARKS.sub(r"\\\1", each) for each in pieces]
    return "".join(f"{each}{_NO_WIDTH}" if at % 2 else each for at, each in enumerate(escaped))


def html_text(text: str) -> str:
    """Return a text for an HTML page."""
    return html.escape(visible(text))


def html_in_markdown(text: str) -> str:
    """Return a text on one line for HTML within Markdown, where a blank line would end the HTML."""
    pieces = _MENTION.split(visible(one_line(text)))
    return "".join(html.escape(each) + (_NO_WIDTH if at % 2 else "") for at, each in enumerate(pieces))
