"""Errors: the diagnostics of evaluation, and the suggestions in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from dstream.config.syntax.tree import Node
from dstream.diagnostics import DiagnosticsError, SourceRange, error

_SHOWN = 20


def problem(summary: str, detail: str, at: Node | SourceRange) -> DiagnosticsError:
    """Return the error to raise for a node or range."""
    return DiagnosticsError(error(summary, detail, at.range if isinstance(at, Node) else at))


@contextmanager
def hidden(summary: str, detail: str, at: Node | SourceRange) -> Iterator[None]:
    """Replace errors raised inside, which might show a sensitive value, by one that does not."""
    try:
        yield
    except DiagnosticsError:
        raise problem(summary, detail, at) from None


_DISCARDED: ContextVar[bool] = ContextVar("discarded", default=False)


@contextmanager
def discarding() -> Iterator[None]:
    """Skip expensive parts of the errors raised inside, since they are not shown."""
    token = _DISCARDED.set(True)
    try:
        yield
    finally:
        _DISCARDED.reset(token)


def discarded() -> bool:
    """Return whether errors raised now are not shown."""
    return _DISCARDED.get()


def sentence(text: str) -> str:
    """Return a clause as a sentence: a capital at its start, a full stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!", ")")) else f"{text}."


def choose(name: str, names: Iterable[str], what: str) -> str:
    """Return the suggestion for a name that does not exist: the closest names, or all names."""
    if discarded():
        return ""
    known = sorted(names)
    import difflib

    near = difflib.get_close_matches(name, known, 3, 0.6)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    if not known:
        return f" There are no {what}s."
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{hint} There {'is' if len(known) == 1 else 'are'}: {', '.join(known[:_SHOWN])}{more}."
