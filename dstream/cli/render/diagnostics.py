"""Diagnostics as text: the summary, the source line with a caret, and the detail.

Diagnostics that differ only in the object they are about have one cause, and are shown once with all addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dstream.cli.render.paint import Paint
from dstream.cli.render.terminal import one_line
from dstream.cli.render.width import WITHOUT_TERMINAL, cells, wrapped
from dstream.diagnostics import Diagnostic, Severity, SourceRange

_ADDRESSES = 5
"""The number of addresses up to which all are shown."""


def diagnostic_lines(
    diagnostic: Diagnostic, sources: Mapping[str, str], paint: Paint, others: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines that show one diagnostic; `sources` maps file names to their texts.

    `others` are the addresses of more objects with the same problem.
    """
    colour = "red" if diagnostic.severity is Severity.ERROR else "yellow"
    bar = paint("│", colour)
    title = "Error: " if diagnostic.severity is Severity.ERROR else "Warning: "
    columns = paint.columns - 2
    yield paint("╷", colour)
    for number, line in enumerate(wrapped(f"{title}{diagnostic.title}", columns)):
        first, rest = (title, line.removeprefix(title)) if number == 0 and line.startswith(title) else ("", line)
        yield f"{bar} {paint(first, 'bold', colour)}{paint(rest, 'bold')}"
    if diagnostic.subject is not None or diagnostic.address is not None:
        yield bar
        for line in _place(diagnostic, sources, paint):
            yield f"{bar} {line}"
    if others:
        yield bar
        shown = [diagnostic.address or "", *others][:_ADDRESSES]
        more = len(others) + 1 - len(shown)
        text = f"{len(others) + 1} objects have this problem: {', '.join(shown)}" + (
            f" and {more} more" if more else ""
        )
        for line in wrapped(f"{text}.", columns):
            yield f"{bar} {line}"
    if diagnostic.detail:
        yield bar
        for line in wrapped(diagnostic.detail, columns):
            yield f"{bar} {line}".rstrip()
    yield paint("╵", colour)


def diagnostics_text(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], paint: Paint) -> str:
    """Return all diagnostics as text, in their order; those with one cause are shown once."""
    return "\n".join(
        one_line(line)
        for first, others in by_cause(diagnostics)
        for line in diagnostic_lines(first, sources, paint, others)
    )


def by_cause(diagnostics: Iterable[Diagnostic]) -> list[tuple[Diagnostic, list[str]]]:
    """Return the first diagnostic of each cause, with the addresses of the other objects that have the same problem.

    Two diagnostics have one cause if they differ in nothing but their address, the names in it, and their place.
    """
    found: dict[object, tuple[Diagnostic, list[str]]] = {}
    for number, each in enumerate(diagnostics):
        key: object = number
        if each.address is not None:
            place = each.subject if each.code is None else None  # what a provider reports is not for each place to fix
            key = (each.severity, each.summary, each.code, place, _without_names(each.detail, each.address))
        if key in found:
            found[key][1].append(each.address or "")
        else:
            found[key] = (each, [])
    return list(found.values())


def _without_names(text: str, address: str) -> str:
    """Return a text in which the address of an object, and the names in that, are the same for all objects."""
    names = sorted({address, *_NAME.findall(address)}, key=len, reverse=True)
    return re.sub("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in names), "\0", text)


_NAME = re.compile(r'(?<=\[")[^"]+(?="\])|(?<=\[)\d+(?=\])|(?<=\.)[\w-]+')
"""The names in an address: what follows a dot, and the keys in brackets."""


def _place(diagnostic: Diagnostic, sources: Mapping[str, str], paint: Paint) -> Iterator[str]:
    subject = diagnostic.subject
    within = f", in {diagnostic.address}" if diagnostic.address else ""
    if subject is None:
        yield f"  with {diagnostic.address}"
        return
    yield from wrapped(f"  on {subject.filename}:{subject.start.line}:{subject.start.column}{within}:", paint.columns)
    text = sources.get(subject.filename)
    if text is not None:
        yield from _snippet(subject, text, paint)


def _snippet(subject: SourceRange, text: str, paint: Paint) -> Iterator[str]:
    lines = text.splitlines()
    if not 0 < subject.start.line <= len(lines):
        return
    line = lines[subject.start.line - 1]
    first = subject.start.column - 1
    last = subject.end.column - 1 if subject.end.line == subject.start.line else len(line)
    number = str(subject.start.line)
    margin = " " * len(number)
    # A tab counts as one column; show it as one space, so that the caret stands below what it means.
    shown = line.replace("\t", " ")
    room = max(20, paint.columns - len(margin) - 7)
    if len(shown) > 2 * room or (paint.columns != WITHOUT_TERMINAL and cells(shown) > room):
        start = max(0, min(first - room // 2, len(shown) - room))
        shown, first, last = shown[start : start + room], first - start, last - start
    carets = "^" * max(1, min(last, len(shown)) - first)
    yield f"  {number} │ {shown}"
    yield f"  {margin} │ {' ' * first}{paint(carets, 'bold')}"
