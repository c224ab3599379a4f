"""Lexer: text -> tokens, by HCL's native syntax specification.

The grammar cannot decide whether a newline is a terminator or space, or whether `in` is a keyword or a name, and it
cannot parse heredocs. The lexer can, because it follows brackets, quotes and heredocs: it emits NEWLINE only where it
means something (in bodies and between the elements of an object), keywords only where they are ones, and the parts of
every template as tokens of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from dstream.config.syntax import lexical_errors
from dstream.config.syntax.lexical_errors import LexError
from dstream.config.syntax.source import Source
from dstream.config.syntax.tokens import END, Token
from dstream.diagnostics import error

MAX_DEPTH = 2500
"""The maximum nesting of brackets, within the recursion limit of all recursive functions."""

_NORMAL = re.compile(
    r"(?P<SPACE>[ \t]+|\r(?=\n))"
    r"|(?P<NEWLINE>\n)"
    r"|(?P<COMMENT>(?:\#|//)[^\n]*)"
    r"|(?P<INLINE_COMMENT>/\*(?:[^*]|\*(?!/))*\*/)"
    r"|(?P<NAME>[^\W\d][\w-]*)"
    r"|(?P<NUMBER>[0-9]+(?P<FRACTION>\.[0-9]+)?(?P<EXPONENT>[eE][+-]?[0-9]+)?)"
    r"|(?P<DBLQUOTE>\")"
    r"|(?P<HEREDOC><<-?(?P<MARKER>[^\W\d][\w-]*)\r?\n)"
    r"|(?P<GO>\{\{)"
    r"|(?P<SPLAT>\[\s*\*\s*\])"
    r"|(?P<OPERATOR>==|!=|<=|>=|=>|&&|\|\||\.\.\.|::|\.\*|[-+*/%<>!?.,:=()\[\]{}~])"
)
_OPERATORS = {
    "==": "DOUBLE_EQ", "!=": "NEQ", "<": "LT", ">": "GT", "<=": "LEQ", ">=": "GEQ", "-": "MINUS", "*": "ASTERISK",
    "/": "SLASH", "%": "PERCENT", "&&": "DOUBLE_AMP", "||": "DOUBLE_PIPE", "+": "PLUS", "!": "NOT", "?": "QMARK",
    "(": "LPAR", ")": "RPAR", "{": "LBRACE", "}": "RBRACE", "[": "LSQB", "]": "RSQB", ",": "COMMA", ".": "DOT",
    "=": "EQ", ":": "COLON", "::": "COLONS", "~": "STRIP_MARKER", ".*": "ATTR_SPLAT", "=>": "FOR_OBJECT_ARROW",
    "...": "ELLIPSIS",
}  # fmt: skip
_LITERALS = {"true": "TRUE", "false": "FALSE", "null": "NULL"}
_DIRECTIVES = {"if": "IF", "for": "FOR", "else": "ELSE", "endif": "ENDIF", "endfor": "ENDFOR"}
_OPERAND_ENDS = frozenset(
    ("NAME", "INT_LITERAL", "FLOAT_LITERAL", "TRUE", "FALSE", "NULL", "RPAR", "RSQB", "RBRACE", "DBLQUOTE",
     "HEREDOC_END", "ELLIPSIS", "FULL_SPLAT_START", "ATTR_SPLAT", "GO_TEMPLATE")
)  # fmt: skip

_QUOTED = re.compile(
    r'(?P<CHARS>(?:[^"\\\n\r$%{]|\$(?!\$?\{)|%(?!%?\{)|\{(?!\{)'
    r'|\\(?:[nrt"\\]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|U00(?:00(?![dD][89a-fA-F])|0[1-9a-fA-F]|10)[0-9a-fA-F]{4}))+)"
    r'|(?P<CLOSE>")'
    r"|(?P<ESCAPE>\$\$\{|%%\{)"
    r"|(?P<INTERPOLATION>\$\{~?)"
    r"|(?P<DIRECTIVE>%\{~?)"
    r"|(?P<GO>\{\{)"
)
_SPECIAL = re.compile(r"\$?\$\{~?|%?%\{~?|\{\{")

_GO_TEXT = r'(?:"[^"\\\n]*"|`[^`\n]*`|\\"[^"\\\n]*\\")'
GO_ACTION = re.compile(
    rf"\{{\{{-?\s*(?:env\s+(?P<name>{_GO_TEXT})(?:\s*\|\s*default\s+(?P<default>{_GO_TEXT}))?"
    rf'|(?P<literal>`[^`\n]*`|\\"[^"\\\n]*\\"))\s*-?\}}\}}'
)
"""The supported Go template actions: `{{ env "X" }}` with any of three quotes, and a literal."""
_GO_OTHER = re.compile(
    r"\{\{[^{}\"\n]*\}\}|"
    r"""\{\{-?\s*[a-zA-Z.$(](?:[^{}"\n\\]*[\s(]\\?"[^"\n]*"(?=[\s|)}-]))+[^{}"\n]*\}\}"""
    r"""|\{\{-?\s*"(?:"|(?!if\b)\w)[^{}\n]*\}\}"""
    r"""|\{\{-?\s*[a-zA-Z.$(][^{}"\n]*"(?!if\b)\w[^{}"\n]*\}\}"""
)
"""Any other action, which within a string may contain quotes. No string of HCL is followed by a letter or a quote."""


class _Context(Struct):
    """An open construct; `kind` is body, object, ( [ for interp string or heredoc."""

    kind: str
    opened: int
    in_expression: bool = False
    intro: int = 0
    """Progress in a `for` up to `in`: 1 expects the first name, 2 has it, 3 expects the second, 4 has it."""
    marker: str = ""
    closing: re.Match[str] | None = None
    """The next line that closes this heredoc, if it was found already."""


class Lexer:
    """Reads one text; `tokens` has the tokens so far, also after a LexError."""

    def __init__(self, source: Source, start: int = 0, *, mode: str = "body", layout: bool = False) -> None:
        """Read `source` from an offset; `mode` is body, `(` for a lone expression, or heredoc for a lone template.

        With `layout`, for the formatter, comments and all line breaks are tokens too, and what opens and closes a
        template has types of its own: OPEN_QUOTE, CLOSE_QUOTE, SEQUENCE_END.
        """
        self._layout = layout
        self.tokens: list[Token] = []
        self.stack = [_Context(mode, start)]
        self._source = source
        self._text = source.text
        self._pos = start
        self._heredoc_ends: dict[str, re.Pattern[str]] = {}

    def run(self) -> list[Token]:
        """Return all tokens, with END as the last; raise LexError at an invalid token."""
        for _ in self.stream():
            pass
        return self.tokens

    def stream(self) -> Iterator[Token]:
        """Yield tokens lazily, so that a caller who stops early does not read the entire text.

        The last one is END. Raises LexError at an invalid token.
        """
        size = len(self._text)
        if self._pos == 0 and self._text.startswith("\ufeff"):
            self._pos = 1
        sent = 0
        while self._pos < size:
            kind = self.stack[-1].kind
            if kind == "string":
                self._quoted()
            elif kind == "heredoc":
                self._heredoc()
            else:
                self._normal()
            ready = self.tokens[sent:]
            sent += len(ready)
            yield from ready
        self._end(size)
        yield from self.tokens[sent:]

    def _end(self, size: int) -> None:
        top = self.stack[-1]
        if top.kind == "string":
            raise lexical_errors.unterminated_string(self._source, top.opened, size)
        if top.kind == "heredoc" and top.marker:
            raise lexical_errors.unterminated_heredoc(self._source, top.opened, top.marker)
        if len(self.stack) == 1 and top.kind == "body":
            self._newline(size, size)
        self._emit(END, size, size)

    # What is emitted

    def _emit(self, type_: str, start: int, end: int) -> None:
        self.tokens.append(Token(type_, self._text[start:end], start, end))

    def _newline(self, start: int, end: int) -> None:
        top = self.stack[-1]
        if self._layout:
            if top.kind == "body":
                top.in_expression = False
            if end > start:
                self._emit("NEWLINE", start, end)
            return
        if top.kind == "body":
            top.in_expression = False
        elif top.kind != "object":
            return
        if not self.tokens or self.tokens[-1].type != "NEWLINE":
            self._emit("NEWLINE", start, end)

    def _push(self, kind: str, opened: int, marker: str = "") -> None:
        if len(self.stack) >= MAX_DEPTH:
            detail = f"Brackets are nested more than {MAX_DEPTH} levels deep here. Move inner parts to locals."
            raise LexError(error("Nested too deeply", detail, self._source.range(opened, opened + 1)), len(self._text))
        self.stack.append(_Context(kind, opened, marker=marker))

    # Outside of quotes

    def _normal(self) -> None:
        text, stack = self._text, self.stack
        match_at = _NORMAL.match
        pos, size = self._pos, len(text)
        while pos < size:
            match = match_at(text, pos)
            if match is None:
                raise lexical_errors.bad_character(self._source, pos, inside=stack[-1].kind)
            kind, end = match.lastgroup, match.end()
            self._pos = end
            if kind == "NAME":
                self._name(match.group(), pos, end)
            elif kind == "NEWLINE":
                self._newline(pos, end)
                if len(stack) == 1 and stack[0].kind == "body":
                    return  # so that `stream` can yield what a top-level line has
            elif kind == "OPERATOR":
                self._operator(match.group(), pos, end)
                if stack[-1].kind in ("string", "heredoc"):
                    return
            elif kind == "DBLQUOTE":
                self._emit("OPEN_QUOTE" if self._layout else "DBLQUOTE", pos, end)
                self._push("string", pos)
                return
            elif kind == "NUMBER":
                integer = match["FRACTION"] is None and match["EXPONENT"] is None
                if not integer and text.startswith(".", end) and text[end + 1 : end + 2].isdigit():
                    detail = "A number has one decimal point. For a string, use quotation marks."
                    raise LexError(error("Invalid number", detail, self._source.range(pos, end + 2)), end + 2)
                self._emit("INT_LITERAL" if integer else "FLOAT_LITERAL", pos, end)
            elif kind == "HEREDOC":
                self._emit("HEREDOC_START", pos, end)
                self._push("heredoc", pos, match["MARKER"])
                return
            elif kind == "SPLAT":
                previous = self.tokens[-1].type if self.tokens else ""
                if previous in _OPERAND_ENDS:
                    self._emit("FULL_SPLAT_START", pos, end)
                else:
                    self._operator("[", pos, pos + 1)
                    self._pos = pos + 1
            elif kind == "GO":
                self._bare_go(pos)
            elif self._layout and kind in ("COMMENT", "INLINE_COMMENT"):
                self._emit(kind, pos, end)
            pos = self._pos

    def _name(self, name: str, start: int, end: int) -> None:
        top = self.stack[-1]
        previous = self.tokens[-1].type if self.tokens else ""
        type_ = "NAME"
        if top.intro:
            if name == "in" and top.intro in (2, 4):
                type_, top.intro = "IN", 0
            else:
                top.intro = top.intro + 1 if top.intro in (1, 3) else 0
        elif previous == "DOT":
            pass
        elif name in _LITERALS:
            type_ = _LITERALS[name]
        elif name == "for":
            type_ = self._for(top, previous)
        elif name == "if" and top.kind == "for" and previous in _OPERAND_ENDS:
            type_ = "IF"
        if top.kind == "interp" and name in _DIRECTIVES and self._in_directive_start(previous):
            type_ = _DIRECTIVES[name]
            top.intro = 1 if name == "for" else 0
        self._emit(type_, start, end)

    def _for(self, top: _Context, previous: str) -> str:
        if top.kind not in ("[", "object"):
            return "NAME"
        before = len(self.tokens) - 1
        while self.tokens[before].type in ("NEWLINE", "COMMENT", "INLINE_COMMENT"):
            before -= 1
        if self.tokens[before].start != top.opened:
            return "NAME"
        if previous == "NEWLINE" and not self._layout:
            self.tokens.pop()
        top.kind, top.intro = "for", 1
        return "FOR"

    def _in_directive_start(self, previous: str) -> bool:
        if previous == "STRIP_MARKER" and len(self.tokens) > 1:
            return self.tokens[-2].type == "DIRECTIVE_START"
        return previous == "DIRECTIVE_START"

    def _operator(self, operator: str, start: int, end: int) -> None:
        if operator == "/" and self._text.startswith("*", end):
            raise lexical_errors.bad_character(self._source, start)
        stack = self.stack
        top = stack[-1]
        if operator == "{":
            body = top.kind == "body" and not top.in_expression
            self._emit("LBRACE", start, end)
            self._push("body" if body else "object", start)
            return
        if operator in ("(", "["):
            self._emit(_OPERATORS[operator], start, end)
            self._push(operator, start)
            return
        if operator in ")]}":
            self._close(operator, top)
            if self._layout and operator == "}" and top.kind == "interp":
                self._emit("SEQUENCE_END", start, end)
                return
        elif operator == "=" and top.kind == "body":
            top.in_expression = True
        elif operator == "~" and not (top.kind == "interp" and self._text.startswith("}", end)):
            raise lexical_errors.bad_character(self._source, start)
        elif top.intro:
            top.intro = 3 if operator == "," and top.intro == 2 else 0
        self._emit(_OPERATORS[operator], start, end)

    def _close(self, operator: str, top: _Context) -> None:
        if len(self.stack) == 1:
            return
        opener = self._text[top.opened]
        closes = "}" if top.kind == "interp" or opener == "{" else ")" if opener == "(" else "]"
        if operator == closes:
            self.stack.pop()
            if top.kind == "body" and self.stack[-1].kind == "body":
                self.stack[-1].in_expression = False

    # Templates

    def _quoted(self) -> None:
        text, pos = self._text, self._pos
        match = _QUOTED.match(text, pos)
        if match is None:
            raise lexical_errors.bad_quoted(self._source, pos, self.stack[-1].opened)
        kind, end = match.lastgroup, match.end()
        self._pos = end
        if kind == "CHARS":
            self._emit("STRING_CHARS", pos, end)
        elif kind == "CLOSE":
            self.stack.pop()
            self._emit("CLOSE_QUOTE" if self._layout else "DBLQUOTE", pos, end)
        elif kind == "GO":
            self._quoted_go(pos)
        else:
            self._sequence(match.group(), pos, end)

    def _sequence(self, opener: str, start: int, end: int) -> None:
        if opener in ("$${", "%%{"):
            self._emit("ESCAPED_INTERPOLATION" if opener == "$${" else "ESCAPED_DIRECTIVE", start, end)
            return
        self._emit("INTERP_START" if opener[0] == "$" else "DIRECTIVE_START", start, start + 2)
        if opener.endswith("~"):
            self._emit("STRIP_MARKER", start + 2, end)
        self._push("interp", start)

    def _heredoc(self) -> None:
        top = self.stack[-1]
        text, pos = self._text, self._pos
        stop = len(text)
        closing = None
        if top.marker:
            pattern = self._heredoc_ends.get(top.marker)
            if pattern is None:
                pattern = re.compile(rf"^[^\S\n]*{re.escape(top.marker)}[^\S\n]*$", re.MULTILINE)
                self._heredoc_ends[top.marker] = pattern
            closing = top.closing
            if closing is None or closing.start() < pos:
                closing = top.closing = pattern.search(text, pos)
            if closing is None:
                raise lexical_errors.unterminated_heredoc(self._source, top.opened, top.marker)
            stop = closing.start()
        while True:
            special = _SPECIAL.search(text, self._pos, stop)
            begin = special.start() if special is not None else stop
            if begin > self._pos:
                self._emit("STRING_CHARS", self._pos, begin)
                self._pos = begin
            if special is None:
                break
            if special.group() == "{{":
                action = GO_ACTION.match(text, begin, stop)
                self._pos = action.end() if action is not None else begin + 2
                self._emit("GO_TEMPLATE" if action is not None else "STRING_CHARS", begin, self._pos)
                continue
            opener = special.group()
            if opener in ("$${~", "%%{~"):
                opener = opener[:-1]
            self._pos = begin + len(opener)
            self._sequence(opener, begin, self._pos)
            if self.stack[-1] is not top:
                return
        self._pos = stop
        if closing is not None:
            self.stack.pop()
            self._emit("HEREDOC_END", closing.start(), closing.end())
            self._pos = closing.end()

    # Go templates

    def _quoted_go(self, pos: int) -> None:
        action = GO_ACTION.match(self._text, pos)
        if action is not None:
            self._pos = action.end()
            self._emit("GO_TEMPLATE", pos, self._pos)
            return
        other = _GO_OTHER.match(self._text, pos)
        if other is not None:
            raise lexical_errors.unsupported_go(self._source, pos, other.end())
        self._pos = pos + 2
        self._emit("STRING_CHARS", pos, self._pos)

    def _bare_go(self, pos: int) -> None:
        action = GO_ACTION.match(self._text, pos)
        if action is not None:
            self._pos = action.end()
            self._emit("GO_TEMPLATE", pos, self._pos)
            return
        other = re.compile(r"\{\{-?\s*[a-zA-Z.`\"$][^\n]*\}\}").match(self._text, pos)
        if other is not None and self.stack[-1].kind != "body":
            raise lexical_errors.unsupported_go(self._source, pos, other.end())
        if other is not None and (self.stack[-1].in_expression or len(self.stack) == 1):
            raise lexical_errors.unsupported_go(self._source, pos, other.end())
        self._operator("{", pos, pos + 1)
        self._pos = pos + 1
