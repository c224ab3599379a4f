"""A document as one self-contained HTML page: no scripts, images or other files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dstream.cli.render.document import Document, Entry
from dstream.cli.render.fences import html_text

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8884; border-radius: 6px; font-size: 13px }
summary { cursor: pointer; padding: .2rem 0 } summary code { font-weight: 600 }
.alarming summary code { color: #c22 } .note { border-left: 4px solid #c80; padding-left: .75rem }
.add { color: #1a7f37 } .remove { color: #c22 } .change { color: #9a6700 }
"""
_MARK = re.compile(r"^\s*(-/\+|\+/-|[+~-])(?: |$)")
_CLASSES = {"+": "add", "-": "remove", "~": "change", "-/+": "remove", "+/-": "remove"}


def page(document: Document) -> Iterator[str]:
    """Yield the page in pieces."""
    title = html_text(document.headline)
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html_text(document.headline)}</h1>\n"
    for note in document.notes:
        yield f'<p class="note">{html_text(note)}</p>\n'
    for section in document.sections:
        yield f"<h2>{html_text(section.title)} ({len(section.entries)})</h2>\n"
        for entry in section.entries:
            yield from _entry(entry)
    yield "</body>\n</html>\n"


def _entry(entry: Entry) -> Iterator[str]:
    kind = ' class="alarming"' if entry.alarming else ""
    title = f"<code>{html_text(entry.address)}</code> {html_text(entry.phrase)}"
    yield f"<details{kind}><summary>{title}</summary>\n<pre>"
    yield "\n".join(map(_line, entry.lines())).strip("\n")
    yield "</pre></details>\n"


def _line(line: str) -> str:
    found = _MARK.match(line)
    text = html_text(line)
    return f'<span class="{_CLASSES[found[1]]}">{text}</span>' if found is not None else text
