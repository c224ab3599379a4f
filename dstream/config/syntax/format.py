"""format_text: formats a configuration as `terraform fmt` does.

Works on tokens: it changes only the white space between them, so that comments are kept. Lines are indented by their
brackets, `=` and trailing comments are aligned in consecutive lines, and strings and heredocs are unchanged. The rules
are those of HCL's own formatter.
"""

from __future__ import annotations

from msgspec import Struct, field

from dstream.config.syntax.lexer import Lexer
from dstream.config.syntax.lexical_errors import LexError
from dstream.config.syntax.parser import parse_text
from dstream.config.syntax.source import Source
from dstream.config.syntax.tokens import END, Token
from dstream.diagnostics import DiagnosticsError

_OPENS = frozenset(("LBRACE", "LSQB", "LPAR", "INTERP_START", "DIRECTIVE_START"))
_CLOSES = frozenset(("RBRACE", "RSQB", "RPAR", "SEQUENCE_END"))
_NAMES = frozenset(("NAME", "TRUE", "FALSE", "NULL", "IN", "IF", "FOR", "ELSE", "ENDIF", "ENDFOR"))
_TEXTS = frozenset(("STRING_CHARS", "ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE", "TEXT"))
_BEFORE_NEGATION = frozenset(
    ("LPAR", "LBRACE", "LSQB", "EQ", "COLON", "COMMA", "QMARK", "PLUS", "ASTERISK", "SLASH", "PERCENT", "MINUS",
     "DOUBLE_EQ", "NEQ", "GT", "GEQ", "LT", "LEQ", "DOUBLE_AMP", "DOUBLE_PIPE", "NOT")
)  # fmt: skip


class _Word(Struct):
    """A token and the number of spaces before it."""

    type: str
    text: str
    spaces: int = 0


class _Line(Struct):
    """One line in three cells: leading tokens, an assignment, a trailing comment."""

    lead: list[_Word] = field(default_factory=list)
    assign: list[_Word] = field(default_factory=list)
    comment: list[_Word] = field(default_factory=list)
    in_heredoc: bool = False
    """Whether the line starts inside a heredoc, so that its indent is kept."""


def format_text(text: str, filename: str) -> str:
    """Return the configuration formatted; raise DiagnosticsError if it is not valid HCL."""
    problems = parse_text(text, filename).diagnostics
    if problems:
        raise DiagnosticsError(problems)
    bom = text.startswith("\ufeff")
    try:
        tokens = Lexer(Source(filename, text), layout=True).run()
    except LexError as problem:
        raise DiagnosticsError(problem.diagnostic) from None
    lines = _lines(_types(_rewritten(_words(tokens, text))))
    for line in lines:
        _space(line.lead)
        _space(line.assign)
    _indent(lines)
    _align(lines)
    formatted = "".join(_text(line) for line in lines)
    return ("\ufeff" if bom else "") + formatted


def _words(tokens: list[Token], source: str) -> list[_Word]:
    words: list[_Word] = []
    depth = 0
    for token in tokens:
        if token.type == END:
            break
        type_ = token.type
        if type_ == "GO_TEMPLATE" and depth:
            type_ = "TEXT"
        depth += (type_ in ("OPEN_QUOTE", "HEREDOC_START")) - (type_ in ("CLOSE_QUOTE", "HEREDOC_END"))
        text = token.text.rstrip("\r") if type_ in ("COMMENT", "HEREDOC_END") else token.text
        if type_ == "FULL_SPLAT_START":
            text = "[*]"
        if type_ == "NEWLINE" and source.startswith("\r\n", token.start - 1):
            text = "\r\n"
        words.append(_Word(type_, text))
    if words and words[-1].type != "NEWLINE":
        words.append(_Word("NEWLINE", "\n"))
    return words


def _rewritten(words: list[_Word]) -> list[_Word]:
    """Return the words with `name = "${value}"` as `name = value`, and the labels of blocks in quotation marks."""
    made: list[_Word] = []
    contexts = [_Context(body=True)]
    index = 0
    while index < len(words):
        word, context = words[index], contexts[-1]
        if word.type == "OPEN_QUOTE" and context.body and made and made[-1].type == "EQ":
            found = _sole_interpolation(words, index)
            if found is not None:
                inside, index = found
                while inside[0].type == "OPEN_QUOTE" and (deeper := _sole_interpolation(inside, 0)) is not None:
                    if deeper[1] < len(inside):
                        break
                    inside = deeper[0]
                made.extend(inside)
                continue
        if context.body and not context.in_expression and word.type in _NAMES and made and made[-1].type in _LABELLED:
            word = _Word("LABEL", f'"{word.text}"') if _is_label(words, index) else word
        _follow(contexts, word)
        made.append(word)
        index += 1
    return made


_OLD_TYPES = {"string": "string", "list": "list(string)", "map": "map(string)"}
_BARE_TYPES = {name: f"{name}(any)" for name in ("list", "map", "set")}


def _types(words: list[_Word]) -> list[_Word]:
    """Return the words with types of variables in present syntax instead of `"string"` and `list`."""
    made: list[_Word] = []
    depth = 0
    in_variable = False
    for index, word in enumerate(words):
        if depth == 0 and word.type == "NAME" and (not made or made[-1].type == "NEWLINE"):
            in_variable = word.text == "variable"
        depth += (word.type in _OPENS) - (word.type in _CLOSES)
        if (
            in_variable
            and depth == 1
            and [each.type for each in made[-2:]] == ["NAME", "EQ"]
            and made[-2].text == "type"
        ):
            types = [each.type for each in words[index : index + 4]]
            if types == ["OPEN_QUOTE", "STRING_CHARS", "CLOSE_QUOTE", "NEWLINE"] or types[3:] == ["COMMENT"]:
                old = words[index + 1].text if types[1] == "STRING_CHARS" else ""
                if old in _OLD_TYPES:
                    made.append(_Word("NAME", _OLD_TYPES[old]))
                    words[index + 1] = words[index + 2] = _Word("NAME", "")
                    continue
            if word.text in _BARE_TYPES and types[1] in ("NEWLINE", "COMMENT"):
                word = _Word("NAME", _BARE_TYPES[word.text])
        if word.text:
            made.append(word)
    return made


class _Context(Struct):
    """The bracket around a word: a body, in which an argument's value may have started, or another one."""

    body: bool
    in_expression: bool = False


_LABELLED = frozenset((*_NAMES, "CLOSE_QUOTE", "LABEL"))


def _follow(contexts: list[_Context], word: _Word) -> None:
    context = contexts[-1]
    if word.type in _OPENS:
        contexts.append(_Context(body=word.type == "LBRACE" and context.body and not context.in_expression))
    elif word.type in _CLOSES and len(contexts) > 1:
        contexts.pop()
    elif word.type == "EQ" and context.body:
        context.in_expression = True
    elif word.type == "NEWLINE" and context.body:
        context.in_expression = False


def _is_label(words: list[_Word], index: int) -> bool:
    """Return whether an opening brace follows on the same line, with only labels before it."""
    for word in words[index:]:
        if word.type == "LBRACE":
            return True
        if word.type not in (*_NAMES, *_TEXTS, "OPEN_QUOTE", "CLOSE_QUOTE"):
            return False
    return False


def _sole_interpolation(words: list[_Word], start: int) -> tuple[list[_Word], int] | None:
    """Return the inside of a string that is one interpolation, and the index after it; None for other strings."""
    if start + 1 >= len(words) or words[start + 1].type != "INTERP_START":
        return None
    quotes = 0
    for index in range(start + 2, len(words)):
        type_ = words[index].type
        if type_ in ("COMMENT", "HEREDOC_START"):
            return None
        if type_ == "OPEN_QUOTE":
            quotes += 1
        elif type_ == "CLOSE_QUOTE":
            quotes -= 1
        elif quotes == 0 and type_ in ("INTERP_START", "DIRECTIVE_START", *_TEXTS):
            return None
        elif quotes == 0 and type_ == "SEQUENCE_END":
            inside = _trimmed(words[start + 2 : index])
            return (inside, index + 2) if inside and words[index + 1].type == "CLOSE_QUOTE" else None
    return None


def _trimmed(words: list[_Word]) -> list[_Word]:
    """Return words without strip markers and line breaks at their ends, in parentheses if line breaks remain."""
    while words and words[0].type in ("NEWLINE", "STRIP_MARKER"):
        words = words[1:]
    while words and words[-1].type in ("NEWLINE", "STRIP_MARKER"):
        words = words[:-1]
    if any(word.type == "NEWLINE" for word in words) and not _in_parentheses(words):
        return [_Word("LPAR", "("), *words, _Word("RPAR", ")")]
    return words


def _in_parentheses(words: list[_Word]) -> bool:
    depth = 0
    for index, word in enumerate(words):
        depth += (word.type in _OPENS) - (word.type in _CLOSES)
        if depth == 0:
            return word.type == "RPAR" and index == len(words) - 1
    return False


def _lines(words: list[_Word]) -> list[_Line]:
    lines: list[_Line] = []
    current: list[_Word] = []
    heredocs = 0
    starts_inside = False
    for word in words:
        current.append(word)
        heredocs += (word.type == "HEREDOC_START") - (word.type == "HEREDOC_END")
        if word.type == "NEWLINE":
            lines.append(_cells(current, starts_inside))
            current = []
            starts_inside = heredocs > 0
    if current:
        lines.append(_cells(current, starts_inside))
    return lines


def _cells(words: list[_Word], in_heredoc: bool) -> _Line:
    line = _Line(words, in_heredoc=in_heredoc)
    if in_heredoc:
        return line
    ending = [words.pop()] if words[-1].type == "NEWLINE" else []
    if len(words) > 1 and words[-1].type == "COMMENT":
        line.comment = [words.pop(), *ending]
        ending = []
    for index, word in enumerate(words):
        if index and word.type == "EQ":
            if _brackets(words[index:]) == 0:
                line.assign = [*words[index:], *ending]
                line.lead = words[:index]
                return line
            break
    words.extend(ending)
    return line


def _brackets(words: list[_Word]) -> int:
    return sum((word.type in _OPENS) - (word.type in _CLOSES) for word in words)


def _until_heredoc(words: list[_Word]) -> list[_Word]:
    for index, word in enumerate(words):
        if word.type == "HEREDOC_START":
            return words[:index]
    return words


def _indent(lines: list[_Line]) -> None:
    """Indent lines by open brackets; a line indents once, whatever number of brackets it opens."""
    levels: list[int] = []
    for line in lines:
        if line.in_heredoc:
            words = line.lead
            ends = [index for index, word in enumerate(words) if word.type == "HEREDOC_END"]
            net = _brackets(words[ends[-1] + 1 :]) if ends else 0
        elif not line.lead or line.lead[0].type == "NEWLINE":
            continue
        else:
            words = _until_heredoc([*line.lead, *line.assign])
            net = _brackets(words) + _after_heredoc([*line.lead, *line.assign])
        if net < 0:
            closed = -net
            while closed > 0 and levels:
                if closed >= levels[-1]:
                    closed -= levels.pop()
                else:
                    levels[-1] -= closed
                    closed = 0
        if not line.in_heredoc:
            line.lead[0].spaces = 2 * len(levels)
        if net > 0:
            levels.append(net)


def _after_heredoc(words: list[_Word]) -> int:
    for index in range(len(words) - 1, -1, -1):
        if words[index].type == "HEREDOC_END":
            return _brackets(words[index + 1 :])
    return 0


def _space(words: list[_Word]) -> None:
    for index in range(len(words) - 1):
        before = words[index - 1] if index else None
        word, after = words[index], words[index + 1]
        after.spaces = int(_space_between(before, word, after))


def _space_between(before: _Word | None, word: _Word, after: _Word) -> bool:
    """Return whether there is a space between a word and the next one; the first matching rule decides."""
    one, two = word.type, after.type
    if two == "NEWLINE":
        return False
    if (one in _NAMES and two in ("LPAR", "COLONS")) or one == "COLONS":
        return False
    if (one in ("DOT", "ATTR_SPLAT") and two not in _BINARY) or two in ("DOT", "ATTR_SPLAT", "FULL_SPLAT_START"):
        return False
    if two in ("COMMA", "ELLIPSIS"):
        return False
    if one == "COMMA":
        return True
    if one in _INSIDE_TEMPLATES or two in _ENDS_TEMPLATES:
        return False
    if "STRIP_MARKER" in (one, two):
        return False
    if word.text == "in" and one in _NAMES and before is not None and before.type in _NAMES:
        return True
    if two == "LSQB" and (one in _NAMES or one == "INT_LITERAL" or one in _CLOSES or one == "FULL_SPLAT_START"):
        return False
    if one == "NOT":
        return False
    if one == "MINUS":
        return before is not None and before.type not in _BEFORE_NEGATION
    if one == "LBRACE" or two == "RBRACE":
        return not (one == "LBRACE" and two == "RBRACE")
    if one in ("INTERP_START", "DIRECTIVE_START") and two == "LBRACE":
        return True
    if one == "RBRACE" and two == "SEQUENCE_END":
        return True
    if one == "SEQUENCE_END" and two in ("INTERP_START", "DIRECTIVE_START"):
        return False
    return one not in _OPENS and two not in _CLOSES


_BINARY = frozenset(
    ("PLUS", "MINUS", "ASTERISK", "SLASH", "PERCENT", "DOUBLE_EQ", "NEQ", "GT", "GEQ", "LT", "LEQ", "DOUBLE_AMP",
     "DOUBLE_PIPE", "QMARK", "COLON", "EQ", "IF", "FOR_OBJECT_ARROW", "RBRACE", "COMMENT", "INLINE_COMMENT")
)  # fmt: skip
_INSIDE_TEMPLATES = frozenset((*_TEXTS, "OPEN_QUOTE", "HEREDOC_START"))
_ENDS_TEMPLATES = frozenset((*_TEXTS, "CLOSE_QUOTE", "HEREDOC_END"))


def _align(lines: list[_Line]) -> None:
    """Align the assignments, then the comments, of consecutive lines."""
    run: list[_Line] = []
    for line in [*lines, _Line()]:
        if line.assign:
            run.append(line)
            continue
        widest = max((_columns(other.lead) for other in run), default=0)
        for other in run:
            other.assign[0].spaces = widest - _columns(other.lead) + 1
        run = []
    for line in [*lines, _Line()]:
        if line.comment:
            run.append(line)
            continue
        widest = max((_columns(other.lead) + _columns(other.assign) for other in run), default=0)
        for other in run:
            other.comment[0].spaces = widest - _columns(other.lead) - _columns(other.assign) + 1
        run = []


def _columns(words: list[_Word]) -> int:
    return sum(word.spaces + _width(word.text) for word in words if word.type != "NEWLINE")


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(1 for character in text if not unicodedata.combining(character))


def _text(line: _Line) -> str:
    return "".join(" " * word.spaces + word.text for part in (line.lead, line.assign, line.comment) for word in part)
