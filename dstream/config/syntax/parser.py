"""Parser: text -> syntax tree and every independent error.

After a syntax error, parsing continues at the next line that starts a block or an argument at the left margin.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

from dstream.config.syntax.ast_builder import Builder
from dstream.config.syntax.lalr import ParseError, run
from dstream.config.syntax.lexer import Lexer
from dstream.config.syntax.lexical_errors import LexError
from dstream.config.syntax.source import Source
from dstream.config.syntax.syntax_errors import TOP_LEVEL, explain
from dstream.config.syntax.tokens import END, Token
from dstream.config.syntax.tree import Attribute, Block, Body, Expr
from dstream.diagnostics import Diagnostic, DiagnosticsError, error

_RECURSION = 40_000
_DIGITS = 20_000
"""More digits than any number here has; Python writes 4,300 by default."""
_MAX_PROBLEMS = 100
"""The number of errors after which parsing stops."""
_READ_AGAIN = 1_000_000
"""The number of characters that may be read again, besides three times the text, after errors found only at the end."""


class Parsed(Struct, frozen=True):
    """The body of a text, as far as it could be parsed, and all errors."""

    source: Source
    body: Body
    diagnostics: list[Diagnostic]


def allow_depth() -> None:
    """Raise Python's recursion limit to the nesting that the lexer allows, and its limit for digits of numbers."""
    if 0 < sys.get_int_max_str_digits() < _DIGITS:
        sys.set_int_max_str_digits(_DIGITS)
    if sys.getrecursionlimit() < _RECURSION:
        sys.setrecursionlimit(_RECURSION)


def parse_text(text: str, filename: str) -> Parsed:
    """Return the tree of a configuration and all errors; invalid text raises nothing."""
    allow_depth()
    source = Source(filename, text)
    builder = Builder(source)
    items: list[Attribute | Block] = []
    problems: list[Diagnostic] = []
    start: int | None = 0
    budget = 3 * len(text) + _READ_AGAIN
    while start is not None:
        found, problem, resume, reached = _read(source, start, builder, "start", "body")
        budget -= reached - start
        if problem is None:
            items.extend([*cast(Body, found).attributes.values(), *cast(Body, found).blocks])
            start = None
        else:
            items.extend(_items(found))
            problems.append(problem)
            if len(problems) == _MAX_PROBLEMS or budget < 0:
                break
            following = TOP_LEVEL.search(text, max(resume, start) + 1)
            start = following.start() if following is not None else None
    body = found if len(problems) == 0 and isinstance(found, Body) else builder.make_body(0, len(text), items)
    diagnostics = sorted([*problems, *builder.diagnostics], key=_place)
    return Parsed(source, body, diagnostics)


def parse_expression(text: str, filename: str) -> Expr:
    """Return the tree of one expression; raise DiagnosticsError."""
    return cast(Expr, _lone(text, filename, "lone_expression", "("))


def parse_template(text: str, filename: str) -> Expr:
    """Return the tree of a text that is one template; raise DiagnosticsError."""
    return cast(Expr, _lone(text, filename, "lone_template", "heredoc"))


def _lone(text: str, filename: str, start: str, mode: str) -> Any:
    allow_depth()
    source = Source(filename, text)
    builder = Builder(source)
    found, problem, *_ = _read(source, 0, builder, start, mode)
    problems = [*([problem] if problem is not None else []), *builder.diagnostics]
    if problems:
        raise DiagnosticsError(problems)
    return found


class _Reading:
    """The tokens of a text from an offset; an invalid token ends them, and its error is `problem`."""

    def __init__(self, source: Source, start: int, mode: str) -> None:
        self.lexer = Lexer(source, start, mode=mode)
        self.problem: LexError | None = None
        self._size = len(source.text)

    def tokens(self) -> Iterator[Token]:
        sent = 0
        try:
            for token in self.lexer.stream():
                sent += 1
                yield token
        except LexError as problem:
            self.problem = problem
            subject = problem.diagnostic.subject
            at = subject.start.offset if subject is not None else self._size
            self.lexer.tokens.append(Token(END, "", at, at))
            yield from self.lexer.tokens[sent:]


def _read(
    source: Source, start: int, builder: Builder, symbol: str, mode: str
) -> tuple[Any, Diagnostic | None, int, int]:
    """Return the result or the completed parts, the error, the offset to continue after, and the offset read to."""
    reading = _Reading(source, start, mode)
    made, problem, resume = _outcome(source, start, builder, symbol, reading)
    words = reading.lexer.tokens
    return made, problem, resume, words[-1].end if words else start


def _outcome(
    source: Source, start: int, builder: Builder, symbol: str, reading: _Reading
) -> tuple[Any, Diagnostic | None, int]:
    tokens = reading.tokens()
    try:
        made = run(tokens, symbol, builder.builders)
    except ParseError as syntactic:
        lexical = reading.problem
        if lexical is not None and syntactic.token.type == END:
            return syntactic.finished, lexical.diagnostic, _line_start(lexical)
        wrong, resume = explain(source, reading.lexer.tokens, syntactic, lambda: deque(tokens, 0))
        return syntactic.finished, wrong, resume
    except RecursionError:
        detail = "This text is nested too deeply. Move inner parts to locals."
        return [], error("Nested too deeply", detail, source.range(start, start)), len(source.text)
    lexical = reading.problem
    if lexical is not None and not isinstance(made, Body):
        return [], lexical.diagnostic, len(source.text)
    if lexical is not None:
        return [*made.attributes.values(), *made.blocks], lexical.diagnostic, _line_start(lexical)
    return made, None, len(source.text)


def _line_start(problem: LexError) -> int:
    """Return the offset to continue after: for an unterminated construct, the end of its first line."""
    subject = problem.diagnostic.subject
    return min(problem.resume, subject.start.offset) if subject is not None else problem.resume


def _items(found: list[Any]) -> Iterator[Attribute | Block]:
    """Yield the top-level items that were complete before an error."""
    for part in found:
        if isinstance(part, Attribute | Block):
            yield part
        elif isinstance(part, list):
            yield from _items(part)
        elif isinstance(part, Token) and part.type == "LBRACE":
            return  # what follows belongs to a block that is not complete


def _place(diagnostic: Diagnostic) -> int:
    return diagnostic.subject.start.offset if diagnostic.subject is not None else 0
