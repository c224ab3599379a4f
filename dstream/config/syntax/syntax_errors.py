"""Syntax errors: turns "no rule allows this token" into a message for the user."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from dstream.config.syntax.lalr import ParseError
from dstream.config.syntax.source import Source
from dstream.config.syntax.tokens import END, Token
from dstream.diagnostics import Diagnostic, SourceRange, error

TOP_LEVEL = re.compile(
    r'^[^\W\d][\w-]*(?:[ \t]+(?:"(?:[^"\\\n]|\\.)*"|[^\W\d][\w-]*))*[ \t]*(?:\{|=(?![=>]))', re.MULTILINE
)
"""A line that starts a block or an argument at the left margin, where parsing continues after an error."""

_OPENERS = {"LBRACE": "{", "LSQB": "[", "LPAR": "(", "INTERP_START": "${", "DIRECTIVE_START": "%{"}
_CLOSERS = {"RBRACE": "}", "RSQB": "]", "RPAR": ")"}
_MATCHING = {"{": "}", "[": "]", "(": ")", "${": "}", "%{": "}"}
_BINARY = frozenset(
    [
        "DOUBLE_EQ",
        "NEQ",
        "LT",
        "GT",
        "LEQ",
        "GEQ",
        "MINUS",
        "ASTERISK",
        "SLASH",
        "PERCENT",
        "DOUBLE_AMP",
        "DOUBLE_PIPE",
        "PLUS",
        "NOT",
        "QMARK",
    ]
)


def explain(
    source: Source, tokens: Sequence[Token], problem: ParseError, read_on: Callable[[], object]
) -> tuple[Diagnostic, int]:
    """Return the diagnostic for a parse error, and the offset after which parsing may continue.

    `read_on` adds the rest of the text to the tokens.
    """
    token = tokens[problem.index]
    previous = tokens[problem.index - 1] if problem.index else None
    open_brackets, jump = _open_brackets(source, tokens[: problem.index])
    if token.type == END and open_brackets:
        suspect = _suspect(source, tokens[: problem.index])
        return _unclosed(source, open_brackets[-1] if jump is None else jump[0], jump, suspect)
    if jump is not None:
        # The mistake may be in text that was meant as a separate block: then a bracket before it is never closed.
        read_on()
        if any(opener is jump[0] for opener in _open_brackets(source, tokens)[0]):
            return _unclosed(source, jump[0], jump, _suspect(source, tokens))
    if (heredoc := _HEREDOC.match(source.text, token.start)) is not None and token.type == "LT":
        detail = _heredoc_detail(heredoc)
        end = heredoc.end()
        return error("Missing value", detail, source.range(token.start, end)), source.text.find("\n", end)
    summary, detail = _words(token, previous, problem.expected, open_brackets, tokens, problem.index)
    return error(summary, detail, _subject(source, token, previous)), token.start


def _subject(source: Source, token: Token, previous: Token | None) -> SourceRange:
    if token.type in ("NEWLINE", END):
        end = previous.end if previous is not None else token.start
        start = previous.start if previous is not None else token.start
        return source.range(start, max(end, start))
    return source.range(token.start, max(token.end, token.start + 1))


def _open_brackets(source: Source, tokens: Sequence[Token]) -> tuple[list[Token], tuple[Token, Token] | None]:
    """Return the open brackets, and the first pair of an open bracket and a top-level line inside."""
    stack: list[Token] = []
    jump: tuple[Token, Token] | None = None
    for token in tokens:
        if token.type in _OPENERS:
            stack.append(token)
        elif token.type in _CLOSERS and stack:
            stack.pop()
            if jump is not None and len(stack) == 0:
                jump = None
        elif token.type == "NAME" and stack and jump is None and _starts_top_level(source, token):
            jump = (stack[-1], token)
    return stack, jump


def _starts_top_level(source: Source, token: Token) -> bool:
    at_margin = token.start == 0 or source.text[token.start - 1] == "\n"
    return at_margin and TOP_LEVEL.match(source.text, token.start) is not None


def _suspect(source: Source, tokens: Sequence[Token]) -> tuple[Token, Token] | None:
    """Return the first pair of an open brace and a line inside that is not indented deeper than the brace's line."""
    stack: list[tuple[Token, int]] = []
    for token in tokens:
        if token.type in _CLOSERS and stack:
            stack.pop()
            continue
        start = source.text.rfind("\n", 0, token.start) + 1
        first = source.text[start : token.start].isspace() or start == token.start
        if token.type == "NAME" and first and stack and stack[-1][0].type == "LBRACE":
            opener, indent = stack[-1]
            if indent and token.start - start <= indent and source.text.find("\n", opener.start, token.start) >= 0:
                return opener, token
        if token.type in _OPENERS:
            line = source.text[start : token.start]
            stack.append((token, len(line) - len(line.lstrip(" \t"))))
    return None


def _unclosed(
    source: Source, opener: Token, jump: tuple[Token, Token] | None, suspect: tuple[Token, Token] | None
) -> tuple[Diagnostic, int]:
    bracket = _OPENERS[opener.type]
    closing = _MATCHING[bracket]
    subject = source.range(opener.start, opener.end)
    line = subject.start.line
    resume = len(source.text) if jump is None else jump[1].start - 1
    if suspect is not None:
        inner, following = source.position(suspect[0].start), source.position(suspect[1].start)
        detail = (
            f"The {bracket} on line {line} has no {closing}. By the indentation, it is the {{ on line {inner.line} "
            f"that should be closed before {suspect[1].text} on line {following.line}."
        )
        return error("Missing closing bracket", detail, subject), resume
    if jump is None:
        detail = (
            f"The {bracket} on line {line} has no {closing}: the file ends before one comes. Add it where it belongs."
        )
        return error("Missing closing bracket", detail, subject), resume
    where = source.position(jump[1].start).line
    detail = (
        f"The {bracket} on line {line} has no {closing}. On line {where}, {jump[1].text} starts something new at the "
        f"left margin, so the {closing} is probably missing before it."
    )
    return error("Missing closing bracket", detail, subject), resume


def _words(
    token: Token,
    previous: Token | None,
    expected: frozenset[str],
    open_brackets: list[Token],
    tokens: Sequence[Token],
    index: int,
) -> tuple[str, str]:
    """Return summary and detail."""
    before = previous.type if previous is not None else ""
    shown = _shown(token)
    value_expected = "INT_LITERAL" in expected
    if token.type in _CLOSERS:
        return _closer(token, open_brackets, expected, previous)
    if before == "DOT" and token.type == "FLOAT_LITERAL":
        one, _, two = token.text.partition(".")
        return (
            "Invalid index",
            f"Write two indexes in a row in brackets: [{one}][{two}] in place of .{token.text}.",
        )
    if before == "DOT":
        return (
            "Missing attribute name",
            f'Expected a name after the dot, not {shown}. For other keys use brackets: ["key"].',
        )
    if token.type == "NEWLINE":
        return _line_end(previous, value_expected, expected)
    if token.type == END:
        after = f" after {previous.text}" if previous is not None and previous.text.strip() else ""
        return "Unexpected end", f"The text ends{after}, and {_described(expected)} is expected."
    if value_expected:
        if token.type == "EQ" and before == "EQ":
            return "Missing value", "There are two equals signs. To compare, use == inside an expression."
        after = f" after {previous.text}" if previous is not None and previous.text.strip() else ""
        return "Missing value", f"A value is expected{after}, not {shown}. {_value_hint(token)}".rstrip()
    if token.type == "COLON" and "EQ" in expected:
        return "Invalid argument", "Arguments are set with =, not with a colon: name = value."
    if token.type == "EQ":
        opener = _OPENERS[open_brackets[-1].type] if open_brackets else ""
        missing = (
            f" If a new argument starts here, the {opener} before it has no {_MATCHING[opener]}." if opener else ""
        )
        return "Unexpected =", f"An expression cannot contain an assignment. To compare two values, use ==.{missing}"
    if hint := _inside_hint(token, previous, open_brackets):
        return hint
    if "COMMA" in expected and ({"RSQB", "RPAR"} & expected):
        where = "arguments" if "RPAR" in expected else "elements of a list"
        return "Missing comma", f"Before {shown}, a comma is missing: {where} are separated by commas."
    if "COMMA" in expected and "RBRACE" in expected:
        return (
            "Missing separator",
            f"Before {shown}, a comma or a line break is missing: the elements of an object are separated by either.",
        )
    in_block = bool(open_brackets) and open_brackets[-1].type == "LBRACE"
    if "RBRACE" in expected and in_block and before not in ("NEWLINE", "LBRACE"):
        detail = (
            f"Before {shown}, the closing bracket of the block is missing: a block on one line holds one argument. "
            "Write several on lines of their own."
        )
        return "Missing line break", detail
    if "NEWLINE" in expected and before not in ("", "NEWLINE"):
        return _same_line(token, tokens, index)
    if token.type == "DBLQUOTE" and open_brackets and open_brackets[-1].type == "INTERP_START":
        inner = _since(tokens, open_brackets[-1], index)
        return "Unexpected text", f"The ${{ before this quotation mark has no }}. Add it: ${{{inner}}}."
    if "COLON" in expected and "EQ" in expected and previous is not None:
        return "Missing value", f"Expected = and a value after the key {previous.text}, not {shown}."
    if token.type == "DOUBLE_EQ" and previous is not None and before == "NAME":
        return "Argument or block expected", f"An argument is set with a single =: {previous.text} = VALUE."
    if "EQ" in expected and "LBRACE" not in expected and token.type in ("LBRACE", "DBLQUOTE") and previous is not None:
        detail = (
            f"A block on one line holds one argument and no other block. Write {previous.text} {{ ... }} on lines "
            "of its own."
        )
        return "Argument or block expected", detail
    if "LBRACE" in expected or "EQ" in expected:
        return _neither(previous, shown)
    if "NAME" in expected and before in ("", "NEWLINE"):
        return (
            "Argument or block expected",
            f"Expected an argument (name = value) or a block (name {{ ... }}), found {shown}.",
        )
    return "Unexpected text", f"Expected {_described(expected)}, found {shown}."


def _closer(
    token: Token, open_brackets: list[Token], expected: frozenset[str], previous: Token | None
) -> tuple[str, str]:
    if not open_brackets:
        return (
            "Unexpected closing bracket",
            f"This {token.text} has no opening bracket.",
        )
    opener = _OPENERS[open_brackets[-1].type]
    if _MATCHING[opener] != token.text:
        return (
            "Wrong closing bracket",
            f"This {token.text} does not match the {opener} before it, which is closed by {_MATCHING[opener]}.",
        )
    if "INT_LITERAL" in expected:
        after = f" after {previous.text}" if previous is not None else ""
        return "Missing value", f"A value is expected{after}, before {token.text}."
    if "NEWLINE" not in expected:
        return "Unexpected closing bracket", f"Expected {_described(expected)}, found {token.text}."
    return (
        "Unexpected closing bracket",
        (
            f"Before this {token.text}, a line break is missing: in a block of several lines the closing bracket "
            "stands on a line of its own."
        ),
    )


def _line_end(previous: Token | None, value_expected: bool, expected: frozenset[str]) -> tuple[str, str]:
    before = previous.type if previous is not None else ""
    text = previous.text.strip() if previous is not None else ""
    if before == "EQ":
        return "Missing value", "A value is expected after =, on the same line: name = value."
    if value_expected and before in _BINARY:
        return (
            "Missing value",
            (
                f"The line ends after {text}, and a value is expected. "
                "An expression can span several lines only inside parentheses."
            ),
        )
    if "LBRACE" in expected:
        return (
            "Argument or block expected",
            (
                f"{text} alone is neither an argument (name = value) nor a block. "
                "The opening { of a block must be on the same line as its name."
            ),
        )
    return "Unexpected line break", f"The line ends after {text}, and {_described(expected)} is expected."


def _same_line(token: Token, tokens: Sequence[Token], index: int) -> tuple[str, str]:
    if token.type == "NAME" and index + 1 < len(tokens) and tokens[index + 1].type in ("EQ", "LBRACE", "DBLQUOTE"):
        return (
            "Missing line break",
            f"Before {token.text}, a line break is missing: each argument and block has a line of its own.",
        )
    before = tokens[index - 1].text.strip() if index else ""
    if before == "if":
        return "Missing line break", "There is no if in expressions. Write a condition as: CONDITION ? VALUE : OTHER."
    if before == "not":
        return "Missing line break", f"The operator not is written !: !{_shown(token)}."
    if token.text in _OPERATORS:
        return "Missing line break", f"The operator {token.text} is written {_OPERATORS[token.text]}."
    return (
        "Missing line break",
        (
            f"The value is complete before {_shown(token)}. If this belongs to the value, an operator or a quotation "
            "mark is missing; if not, it goes on a line of its own."
        ),
    )


def _inside_hint(token: Token, previous: Token | None, open_brackets: list[Token]) -> tuple[str, str] | None:
    """Return summary and detail for what other languages have inside brackets and after strings."""
    inside = open_brackets[-1].type if open_brackets else ""
    joined = previous is not None and previous.end == token.start
    if inside == "LSQB" and token.text == "for":
        return "Missing comma", "A comprehension starts with for: [for NAME in LIST : EXPRESSION]."
    if inside == "LPAR" and token.type == "COMMA":
        return "Unexpected text", "A list is in square brackets: [FIRST, SECOND]. Parentheses hold one expression."
    if inside == "DIRECTIVE_START":
        return (
            "Unexpected text",
            f"%{{ starts a directive (if, else, for, end...), not {_shown(token)}. For a literal %{{ write %%{{.",
        )
    if joined and previous is not None and previous.type == "DBLQUOTE" and token.type == "NAME":
        return (
            "Missing line break",
            f'The string ends before {_shown(token)}. A quotation mark inside a string is written \\".',
        )
    if inside == "INTERP_START":
        return None
    if joined and previous is not None and token.type == "DBLQUOTE" and previous.text in ("f", "r", "b", "u", "s"):
        return "Missing line break", 'A string has no prefix. Write "text ${local.NAME}" to put a value into it.'
    return None


_OPERATORS = {"and": "&&", "or": "||", "is": "==", "mod": "%", "AND": "&&", "OR": "||"}
"""Operators of other languages, and how they are written here."""
_HEREDOC = re.compile(r"<<(-?)([ \t]*)([\"']?)(\w*)([\"']?)[ \t]*([^\r\n]*)")


def _heredoc_detail(found: re.Match[str]) -> str:
    """Return what is wrong with the start of a heredoc."""
    dash, space, quote, marker, _, rest = found.groups()
    start = f"<<{dash}{marker or 'EOT'}"
    if not marker:
        return f"A heredoc starts with a marker: {start}, then lines of text, then a line with {marker or 'EOT'} alone."
    if quote:
        return f"The marker of a heredoc has no quotation marks: {start}."
    if space:
        return f"The marker of a heredoc follows without a space: {start}."
    return f"The text of a heredoc starts on the next line: move {_cut(rest)} below {start}."


def _since(tokens: Sequence[Token], opener: Token, index: int) -> str:
    """Return the text of the tokens after an opening bracket."""
    return _cut("".join(token.text for token in tokens[:index] if token.start >= opener.end))


def _cut(text: str) -> str:
    return text if len(text) < 40 else f"{text[:37]}..."


def _neither(previous: Token | None, shown: str) -> tuple[str, str]:
    name = previous.text if previous is not None else ""
    return (
        "Argument or block expected",
        f"Expected = and a value (an argument), or labels and {{ (a block), after {name}, not {shown}.",
    )


def _value_hint(token: Token) -> str:
    if token.type in _BINARY:
        return "An operator is between two values."
    return ""


def _shown(token: Token) -> str:
    text = token.text.strip()
    if not text:
        return "the end of the line"
    return _cut(text)


_WORDS = {
    "NAME": "a name", "EQ": "=", "LBRACE": "{", "RBRACE": "}", "RSQB": "]", "RPAR": ")", "COLON": ":",
    "COMMA": "a comma",
    "IN": "in", "NEWLINE": "a line break", "DBLQUOTE": "a text in quotation marks", END: "the end",
    "FOR_OBJECT_ARROW": "=>", "IF": "if", "ENDIF": "endif", "ENDFOR": "endfor", "FOR": "for", "ELSE": "else",
}  # fmt: skip


def _described(expected: frozenset[str]) -> str:
    if "INT_LITERAL" in expected:
        return "a value"
    words = sorted(_WORDS[type_] for type_ in expected if type_ in _WORDS)
    return " or ".join(words[:4]) if words else "something else"
