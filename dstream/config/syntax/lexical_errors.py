"""Lexical errors: the diagnostics for invalid tokens."""

from __future__ import annotations

import re
import unicodedata

from dstream.config.syntax.source import Source
from dstream.diagnostics import Diagnostic, error


class LexError(Exception):
    """An invalid token; `resume` is the offset at which reading can continue."""

    def __init__(self, diagnostic: Diagnostic, resume: int) -> None:
        """Take the diagnostic, and the offset to continue at."""
        self.diagnostic = diagnostic
        self.resume = resume
        super().__init__(diagnostic.summary)


def unsupported_go(source: Source, start: int, end: int) -> LexError:
    """Return the error for an unsupported Go template action."""
    detail = (
        f'Of Go templates, only `{{{{ env "NAME" }}}}` is supported, also with `| default "TEXT"`, not '
        f'{source.text[start:end]}. Write an expression instead, such as "${{upper(env("NAME"))}}". '
        "For literal braces: {{ `{{ text }}` }}."
    )
    return LexError(error("Unsupported template", detail, source.range(start, end)), end)


def unterminated_string(source: Source, opened: int, end: int) -> LexError:
    """Return the error for a string without closing quotation mark."""
    detail = (
        'This string has no closing quotation mark on its line. Add the closing ", or \\n for a line break; '
        "for a string of several lines use a heredoc:\n  <<-EOT\n    ...\n  EOT"
    )
    return LexError(error("Unterminated string", detail, source.range(opened, end)), end)


def unterminated_heredoc(source: Source, opened: int, marker: str) -> LexError:
    """Return the error for a heredoc without its closing marker."""
    line_end = source.text.find("\n", opened)
    detail = (
        f"The closing marker {marker} is missing. A heredoc ends at a line with its marker and nothing else but space."
    )
    followed = re.compile(rf"^[ \t]*{re.escape(marker)}\b[ \t]*(\S.{{0,20}})", re.MULTILINE).search(
        source.text, opened + 1
    )
    if followed is not None:
        line = source.range(followed.start(1), followed.end(1)).start.line
        detail += f" On line {line}, move {followed[1]} to the next line."
    subject = source.range(opened, line_end if line_end >= 0 else len(source.text))
    return LexError(error("Unterminated heredoc", detail, subject), max(line_end, opened + 2))


def bad_quoted(source: Source, pos: int, opened: int) -> LexError:
    """Return the error for an invalid part of a string: a line break, or an invalid escape."""
    if source.text[pos] in "\r\n":
        return unterminated_string(source, opened, pos)
    escape = source.text[pos : pos + 2]
    if escape in ("\\u", "\\U"):
        digits = "four" if escape == "\\u" else "eight"
        detail = (
            f"{escape} is followed by {digits} hexadecimal digits of a Unicode character; surrogates are not "
            f"characters. For a literal backslash write two: \\{escape}."
        )
        return LexError(error("Invalid escape", detail, source.range(pos, pos + 2)), pos + 2)
    detail = (
        f'{escape} is not an escape sequence. Escape sequences are \\n, \\r, \\t, \\", \\\\, \\uNNNN and \\UNNNNNNNN; '
        "a literal backslash is written twice: \\\\."
    )
    return LexError(error("Invalid escape", detail, source.range(pos, pos + 2)), pos + 2)


def bad_character(source: Source, pos: int, inside: str = "") -> LexError:
    """Return the error for a character that starts no token; `inside` is the kind of the open construct."""
    character = source.text[pos]
    after = pos + 1
    if source.text.startswith("/*", pos):
        detail = "This comment is not closed. Add */ at its end."
        return LexError(error("Unterminated comment", detail, source.range(pos, pos + 2)), len(source.text))
    if character == ";":
        if inside == "object":
            detail = "Semicolons are not supported. Separate the elements of an object with commas: { a = 1, b = 2 }."
        else:
            detail = (
                "Semicolons are not supported. Each argument of a block is on a line of its own, without a terminator."
            )
        return LexError(error("Invalid character", detail, source.range(pos, after)), after)
    if (template := _TEMPLATE.match(source.text, pos)) is not None:
        subject = source.range(pos, template.end())
        return LexError(error("Invalid character", _outside_of_text(template), subject), template.end())
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    if not character.isascii() and unicodedata.category(character) in ("Zs", "Cf"):
        detail = f"The invisible character {shown} is not allowed here. Replace it by an ordinary space, or remove it."
        return LexError(error("Invalid character", detail, source.range(pos, after)), after)
    plain = f"The character {shown} is not allowed here. Enclose text in quotation marks."
    detail = _CHARACTER_HINTS.get(character, plain)
    return LexError(error("Invalid character", detail, source.range(pos, after)), after)


def _outside_of_text(template: re.Match[str]) -> str:
    """Return what to write in place of a `${...}` that is not in quotation marks."""
    inner, equals = template[1].strip(), template[2]
    if equals:
        return f"${{ }} is for quotation marks. A key that is an expression is in parentheses: ({inner}) {equals} ..."
    return f"${{ }} is for quotation marks. Outside of them write the expression alone: {inner}."


_TEMPLATE = re.compile(r"\$\{([^{}\n]+)\}(?:[ \t]*(=|:)(?!=))?")
_CHARACTER_HINTS = {
    "$": 'A reference has no $: local.NAME or var.NAME; env("NAME") is an environment variable.',
    "'": 'Single quotes are not supported. Use double quotes: "text".',
    "`": 'Backticks are not supported. Use double quotes: "text".',
    "&": "The operator & is not supported. Logical and is &&.",
    "|": "The operator | is not supported. Logical or is ||.",
    "^": "The operator ^ is not supported. For powers use pow(x, y).",
    "\u201c": 'Curly quotation marks are not supported. Use straight ones: "text".',
    "\u201d": 'Curly quotation marks are not supported. Use straight ones: "text".',
    "~": "The operator ~ is not supported. To trim white space in a template, put ~ after ${ or before }.",
    "@": 'The character @ is not allowed here. Enclose text in quotation marks: "text".',
}
