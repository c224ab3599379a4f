"""Diagnostics as text: the summary, the source line with a caret, and the detail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from dstream.cli.render.paint import Paint
from dstream.cli.render.terminal import one_line
from dstream.diagnostics import Diagnostic, Severity, SourceRange

_WIDTH = 100


def diagnostic_lines(diagnostic: Diagnostic, sources: Mapping[str, str], paint: Paint) -> Iterator[str]:
    """Yield the lines that show one diagnostic; `sources` maps file names to their texts."""
    colour = "red" if diagnostic.severity is Severity.ERROR else "yellow"
    bar = paint("│", colour)
    title = "Error: " if diagnostic.severity is Severity.ERROR else "Warning: "
    yield paint("╷", colour)
    yield f"{bar} {paint(title, 'bold', colour)}{paint(diagnostic.title, 'bold')}"
    if diagnostic.subject is not None or diagnostic.address is not None:
        yield bar
        for line in _place(diagnostic, sources, paint):
            yield f"{bar} {line}"
    if diagnostic.detail:
        yield bar
        for line in _wrapped(diagnostic.detail):
            yield f"{bar} {line}".rstrip()
    yield paint("╵", colour)


def diagnostics_text(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], paint: Paint) -> str:
    """Return all diagnostics as text, in their order."""
    return "\n".join(
        one_line(line) for diagnostic in diagnostics for line in diagnostic_lines(diagnostic, sources, paint)
    )


def _place(diagnostic: Diagnostic, sources: Mapping[str, str], paint: Paint) -> Iterator[str]:
    subject = diagnostic.subject
    within = f", in {diagnostic.address}" if diagnostic.address else ""
    if subject is None:
        yield f"  with {diagnostic.address}"
        return
    yield f"  on {subject.filename}:{subject.start.line}:{subject.start.column}{within}:"
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
    if len(shown) > 2 * _WIDTH:
        start = max(0, min(first - _WIDTH // 2, len(shown) - _WIDTH))
        shown, first, last = shown[start : start + _WIDTH], first - start, last - start
    carets = "^" * max(1, min(last, len(shown)) - first)
    yield f"  {number} │ {shown}"
    yield f"  {margin} │ {' ' * first}{paint(carets, 'bold')}"


def _wrapped(text: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        if len(paragraph) <= _WIDTH or paragraph.startswith(" "):
            yield paragraph
        else:
            yield from textwrap.wrap(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
