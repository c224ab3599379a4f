"""Templates: the parts of a string or heredoc -> an expression.

Decodes escapes, trims white space at `~`, removes the indentation of `<<-` heredocs, and nests the directives `%{ if }`
and `%{ for }`. The result of a Go template action is a value, and never parsed as syntax.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from msgspec import Struct

from dstream.config.syntax.lexer import GO_ACTION
from dstream.config.syntax.source import WHITE_SPACE, Source
from dstream.config.syntax.tokens import Token
from dstream.config.syntax.tree import Call, Expr, Literal, Template, TemplateFor, TemplateIf, TemplateWrap
from dstream.diagnostics import Diagnostic, SourceRange, error

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


class Sequence_(Struct):
    """`${...}` or `%{...}`: its kind, strip markers, expressions and names."""

    kind: str
    """interpolation, if, else, endif, for or endfor"""
    start: int
    end: int
    strips_before: bool
    strips_after: bool
    expr: Expr | None = None
    names: tuple[str, ...] = ()

    @property
    def strips(self) -> bool:
        """Whether it has a strip marker."""
        return self.strips_before or self.strips_after


class _Text(Struct):
    start: int
    end: int
    value: str


Part = Token | Sequence_


class TemplateBuilder:
    """Builds the expressions of templates in one source."""

    def __init__(self, source: Source, diagnostics: list[Diagnostic]) -> None:
        """Append errors to `diagnostics`."""
        self._source = source
        self._diagnostics = diagnostics

    def quoted(self, start: int, end: int, parts: Sequence[Part]) -> Expr:
        """Return the expression of a quoted string."""
        if not parts:
            return Literal(self._source, start, end, "")
        if len(parts) == 1:
            only = parts[0]
            if isinstance(only, Token) and only.type == "STRING_CHARS":
                return Literal(self._source, start, end, unescaped(only.text))
            if isinstance(only, Token) and only.type == "GO_TEMPLATE":
                value = go_template(self._source, only)
                value.start, value.end = start, end
                return value
        pieces = [self._piece(part, quoted=True) for part in parts]
        return self._assemble(start, end, _strip(pieces))

    def heredoc(self, start: int, end: int, parts: Sequence[Part], *, indented: bool) -> Expr:
        """Return the expression of a heredoc; `indented` is the form that starts with `<<-`."""
        pieces: list[_Text | Sequence_ | Expr] = []
        by_line = indented or any(isinstance(part, Sequence_) and part.strips for part in parts)
        for part in parts:
            piece = self._piece(part, quoted=False)
            if isinstance(piece, _Text) and by_line:
                _add_lines(pieces, piece)
            else:
                pieces.append(piece)
        # As in HCL, strip markers come first: a line break that one takes away starts no line to un-indent.
        pieces = _strip(pieces)
        if indented:
            _unindent(pieces)
        return self._assemble(start, end, pieces)

    def bare(self, start: int, end: int, parts: Sequence[Part]) -> Expr:
        """Return the expression of a template file."""
        return self.heredoc(start, end, parts, indented=False)

    def _piece(self, part: Part, *, quoted: bool) -> _Text | Sequence_ | Expr:
        if isinstance(part, Sequence_):
            return part
        match part.type:
            case "GO_TEMPLATE":
                return go_template(self._source, part)
            case "ESCAPED_INTERPOLATION" | "ESCAPED_DIRECTIVE":
                return _Text(part.start, part.end, part.text[1:])
            case _:
                return _Text(part.start, part.end, unescaped(part.text) if quoted else normalised(part.text))

    def _assemble(self, start: int, end: int, pieces: list[_Text | Sequence_ | Expr]) -> Expr:
        if len(pieces) == 1 and isinstance(pieces[0], Sequence_) and pieces[0].kind == "interpolation":
            assert pieces[0].expr is not None  # noqa: S101  # an interpolation has one
            return TemplateWrap(self._source, start, end, pieces[0].expr)
        parts = _Nesting(self._source, self._diagnostics, pieces).parts()
        texts = [part.value for part in parts if isinstance(part, Literal) and isinstance(part.value, str)]
        if len(texts) == len(parts):
            return Literal(self._source, start, end, normalised("".join(texts)))
        return Template(self._source, start, end, parts)


class _Nesting:
    """Turns a flat sequence of texts and directives into a tree."""

    def __init__(self, source: Source, diagnostics: list[Diagnostic], pieces: list[_Text | Sequence_ | Expr]) -> None:
        self._source = source
        self._diagnostics = diagnostics
        self._pieces = pieces

    def parts(self) -> list[Expr]:
        root: list[Expr] = []
        # Each open directive: the sequence, the parts of its first branch, and those after its else.
        stack: list[tuple[Sequence_, list[Expr], list[Expr] | None, int]] = []
        current = root
        outer: list[list[Expr]] = []
        for piece in self._pieces:
            if isinstance(piece, _Text):
                if piece.value:
                    current.append(Literal(self._source, piece.start, piece.end, piece.value))
            elif isinstance(piece, Expr):
                current.append(piece)
            elif piece.kind == "interpolation":
                assert piece.expr is not None  # noqa: S101  # an interpolation has one
                current.append(piece.expr)
            elif piece.kind in ("if", "for"):
                outer.append(current)
                current = []
                stack.append((piece, current, None, piece.end))
            elif piece.kind == "else":
                if not stack or stack[-1][0].kind != "if" or stack[-1][2] is not None:
                    self._report(piece, "else", "if")
                    continue
                opened, first, _, first_start = stack.pop()
                current = []
                stack.append((opened, first, current, first_start))
            elif not stack or stack[-1][0].kind != piece.kind[3:]:
                self._report(piece, piece.kind, piece.kind[3:])
            else:
                done = self._directive(stack.pop(), piece)
                current = outer.pop()
                current.append(done)
        for opened, *_ in stack:
            detail = (
                f"This %{{ {opened.kind} }} has no %{{ end{opened.kind} }} in the same text. Add one, or write "
                f"%%{{ for the characters %{{."
            )
            self._diagnostics.append(error("Unclosed template directive", detail, self._range(opened)))
        return root

    def _directive(self, opened: tuple[Sequence_, list[Expr], list[Expr] | None, int], closing: Sequence_) -> Expr:
        sequence, first, second, first_start = opened
        assert sequence.expr is not None  # noqa: S101  # if has a condition, for a collection
        start, end = sequence.start, closing.end
        inner = Template(self._source, first_start, closing.start, first)
        if sequence.kind == "if":
            other = Template(self._source, first_start, closing.start, second) if second is not None else None
            return TemplateIf(self._source, start, end, sequence.expr, inner, other)
        key_name, value_name = for_names(sequence.names)
        return TemplateFor(self._source, start, end, key_name, value_name, sequence.expr, inner)

    def _report(self, piece: Sequence_, kind: str, opener: str) -> None:
        detail = f"This %{{ {kind} }} is not inside a %{{ {opener} }}. Remove it, or add the {opener} before it."
        self._diagnostics.append(error("Unexpected template directive", detail, self._range(piece)))

    def _range(self, piece: Sequence_) -> SourceRange:
        return self._source.range(piece.start, piece.end)


def for_names(names: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the key name, which may be missing, and the value name of a `for`."""
    return (names[0], names[1]) if len(names) == 2 else (None, names[0])


def go_template(source: Source, token: Token) -> Expr:
    """Return the expression of a Go template action: a call of `env`, or a literal."""
    match = GO_ACTION.fullmatch(token.text)
    if match is None:
        raise ValueError(f"not an action: {token.text}")
    if match["literal"] is not None:
        return Literal(source, token.start, token.end, _go_text(match["literal"]))

    def literal(group: str, text: str) -> Expr:
        begin, finish = match.span(group)
        return Literal(source, token.start + begin, token.start + finish, text)

    def call(function: str, *arguments: Expr) -> Expr:
        return Call(source, token.start, token.end, function, list(arguments), False, token.end)

    name, default = literal("name", _go_text(match["name"])), match["default"]
    if default is None:
        return call("env", name)
    empty = call("env", name, literal("default", ""))
    # As in sprig, the default also replaces a variable that is set and empty.
    return call("coalesce", empty, literal("default", text)) if (text := _go_text(default)) else empty


def _go_text(text: str) -> str:
    return text[2:-2] if text.startswith("\\") else text[1:-1]


def unescaped(text: str) -> str:
    """Return the value of the inside of a quoted string without template sequences."""
    if "\\" in text:
        text = _ESCAPE.sub(lambda match: _PLAIN[match[3]] if match[3] else chr(int(match[1] or match[2], 16)), text)
    return normalised(text)


def normalised(text: str) -> str:
    """Return the text in Unicode normal form C, as HCL requires for strings."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _strip(pieces: list[_Text | Sequence_ | Expr]) -> list[_Text | Sequence_ | Expr]:
    for index, piece in enumerate(pieces):
        if not isinstance(piece, Sequence_):
            continue
        if piece.strips_before and index and isinstance(before := pieces[index - 1], _Text):
            before.value = before.value.rstrip(WHITE_SPACE)
        if piece.strips_after and index + 1 < len(pieces) and isinstance(after := pieces[index + 1], _Text):
            after.value = after.value.lstrip(WHITE_SPACE)
    return pieces


def _add_lines(pieces: list[_Text | Sequence_ | Expr], text: _Text) -> None:
    """Add a heredoc's text as one piece per line: indentation and strip markers work on lines."""
    start = text.start
    for line in text.value.splitlines(keepends=True) if "\n" in text.value else [text.value]:
        pieces.append(_Text(start, start + len(line), line))
        start += len(line)


def _unindent(pieces: Iterable[_Text | Sequence_ | Expr]) -> None:
    smallest: int | None = None
    firsts: list[_Text] = []
    at_line_start = True
    for piece in pieces:
        if at_line_start:
            at_line_start = False
            if isinstance(piece, _Text):
                rest = piece.value.lstrip(WHITE_SPACE)
                if rest or not piece.value.endswith("\n"):
                    indent = len(piece.value) - len(rest)
                    firsts.append(piece)
                    smallest = indent if smallest is None else min(smallest, indent)
            else:
                smallest = 0
        if isinstance(piece, _Text) and piece.value.endswith("\n"):
            at_line_start = True
    for first in firsts:
        first.value = first.value[smallest or 0 :]
