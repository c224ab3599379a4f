"""A document as Markdown for a comment on a pull request: deterministic, and within GitHub's size limit.

The limit is 65,536 characters. The first entries are shown in full, further ones as a line each, and the rest is
counted.
"""

from __future__ import annotations

import re
from collections import Counter

from dstream.cli.render.document import Document, Entry, counted
from dstream.cli.render.fences import code, fenced, html_in_markdown, html_text, plain
from dstream.cli.render.terminal import one_line

LIMIT = 60_000
_ROOM = 600
"""Characters reserved for the note about omitted entries."""
_ONE = 20_000
"""An entry with a longer text is shown as a line."""
_MARK = re.compile(r"^(\s+)(-/\+|\+/-|[+~-]) ?(.*)$")


def markdown(document: Document) -> str:
    """Return the text."""
    text = f"### {document.headline}\n"
    for note in document.notes:
        text += f"\n> **Note:** {plain(note)}\n"
        if len(text) > LIMIT // 4:
            text += "\n> More notes are not shown.\n"
            break
    cut: Counter[str] = Counter()
    full = True
    for section in document.sections:
        heading = f"\n#### {section.title}: {len(section.entries)}\n\n"
        if len(text) + len(heading) > LIMIT - _ROOM:
            cut[section.kind] += len(section.entries)
            continue
        text += heading
        for entry in section.entries:
            shown = _all_attributes(entry) if full else None
            if shown is not None and len(text) + len(shown) <= LIMIT * 3 // 4 - _ROOM:
                text += shown
                continue
            full = full and shown is None
            line = _line(entry)
            if len(text) + len(line) > LIMIT - _ROOM:
                cut[section.kind] += 1
            else:
                text += line
    if cut:
        text += f"\n_Not shown: {counted(cut)}. Run `dstream show FILE` to see a complete saved plan._\n"
    return text


def _all_attributes(entry: Entry) -> str | None:
    body = "\n".join(_marked(one_line(line)) for line in entry.lines()).strip("\n")
    if len(body) > _ONE:
        return None
    return f"<details><summary>{_title(entry)}</summary>\n\n{fenced(body)}\n\n</details>\n"


def _title(entry: Entry) -> str:
    text = f"<code>{html_text(one_line(entry.address))}</code> {html_in_markdown(entry.phrase)}"
    return f"<b>{text}</b>" if entry.alarming else text


def _line(entry: Entry) -> str:
    return f"- {code(entry.address)} {plain(entry.phrase)}\n"


def _marked(line: str) -> str:
    """Return a line that starts with its diff marker, which GitHub colours."""
    found = _MARK.match(line)
    if found is None:
        return line
    space, mark, rest = found.groups()
    first = "!" if mark == "~" else mark
    return f"{first}{space}{rest}"
