"""Lexical errors: what is said where a text makes no token."""

from __future__ import annotations

from dstream.config.syntax.source import Source
from dstream.diagnostics import Diagnostic, error


class LexError(Exception):
    """The text from here on has no tokens; `resume` is an offset behind what is wrong."""

    def __init__(self, diagnostic: Diagnostic, resume: int) -> None:
        """Take the diagnostic for the user, and where to go on."""
        self.diagnostic = diagnostic
        self.resume = resume
        super().__init__(diagnostic.summary)


def unsupported_go(source: Source, start: int, end: int) -> LexError:
    """Return the error for a Go template's action that is not understood."""
    detail = (
        f'Of Go\'s templates, only `{{{{ env "NAME" }}}}` is understood, also with `| default "TEXT"`, not '
        f'{source.text[start:end]}. Write an expression instead, such as "${{upper(env("NAME"))}}". '
        "For two braces as plain text: {{ `{{ so }}` }}."
    )
    return LexError(error("Unsupported template", detail, source.range(start, end)), end)


def unterminated_string(source: Source, opened: int, end: int) -> LexError:
    """Return the error for a text without its closing quotation mark."""
    detail = (
        'This text has no closing quotation mark on its line. Add the closing ", or \\n for a line break; '
        "for a text of several lines use a heredoc:\n  <<-EOT\n    ...\n  EOT"
    )
    return LexError(error("Unterminated string", detail, source.range(opened, end)), end)


def unterminated_heredoc(source: Source, opened: int, marker: str) -> LexError:
    """Return the error for a heredoc without its closing marker."""
    line_end = source.text.find("\n", opened)
    detail = (
        f"No line has only the closing marker {marker}. A heredoc ends at a line with its marker and nothing "
        "else but space."
    )
    subject = source.range(opened, line_end if line_end >= 0 else len(source.text))
    return LexError(error("Unterminated heredoc", detail, subject), max(line_end, opened + 2))


def bad_quoted(source: Source, pos: int, opened: int) -> LexError:
    """Return the error for what cannot stand in quotation marks: a line break, or a wrong escape."""
    if source.text[pos] in "\r\n":
        return unterminated_string(source, opened, pos)
    escape = source.text[pos : pos + 2]
    if escape in ("\\u", "\\U"):
        digits = "four" if escape == "\\u" else "eight"
        detail = (
            f"{escape} is followed by {digits} hexadecimal digits that name a Unicode character; halves of surrogate "
            "pairs are none."
        )
        return LexError(error("Invalid escape", detail, source.range(pos, pos + 2)), pos + 2)
    detail = (
        f'{escape} means nothing in a text. Escapes are \\n, \\r, \\t, \\", \\\\, \\uNNNN and \\UNNNNNNNN; '
        "a backslash itself is written twice: \\\\."
    )
    return LexError(error("Invalid escape", detail, source.range(pos, pos + 2)), pos + 2)


def bad_character(source: Source, pos: int, inside: str = "") -> LexError:
    """Return the error for a character that starts no token; `inside` is what it stands in, as the lexer has it."""
    character = source.text[pos]
    after = pos + 1
    if source.text.startswith("/*", pos):
        detail = "This comment has no end. Add */ where it ends."
        return LexError(error("Unterminated comment", detail, source.range(pos, pos + 2)), len(source.text))
    if character == ";":
        if inside == "object":
            detail = (
                "Semicolons separate nothing here. The elements of an object are separated by commas: { a = 1, b = 2 }."
            )
        else:
            detail = (
                "Semicolons separate nothing here. Each argument of a block stands on a line of its own, without "
                "anything at its end."
            )
        return LexError(error("Invalid character", detail, source.range(pos, after)), after)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    plain = f"The character {shown} means nothing here. Text goes into quotation marks."
    detail = _CHARACTER_HINTS.get(character, plain)
    return LexError(error("Invalid character", detail, source.range(pos, after)), after)


_CHARACTER_HINTS = {
    "'": 'Single quotes mean nothing here. Texts are written with double ones: "text".',
    "`": 'Backticks mean nothing here. Texts are written with double quotes: "text".',
    "&": 'There is no operator &. "And" is written &&.',
    "|": 'There is no operator |. "Or" is written ||.',
    "^": "There is no operator ^. For powers use pow(x, y).",
    "\u201c": 'Curly quotation marks mean nothing here. Write straight ones: "text".',
    "\u201d": 'Curly quotation marks mean nothing here. Write straight ones: "text".',
    "~": "There is no operator ~. To trim white space in templates it stands right after ${ or right before }.",
    "@": 'The character @ means nothing here. Text goes into quotation marks: "text".',
}
