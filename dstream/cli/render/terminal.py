"""Terminal: the border between text that others wrote and the screen, or the log of a CI run.

Provider logs, error messages of services, names and addresses can contain sequences that move the cursor, set the
clipboard, reverse the direction of the text, or are commands to a CI runner. `main` replaces standard output and
standard error by a `Terminal`, which shows such characters as `\\u001b`, so no code has to remember it. That is also
how JSON writes them: JSON keeps its value.

dstream's own sequences come from `control` and carry a key that is drawn for each process, so that no other text can
contain one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from dstream.plugins.redact import Redactor

_KEY = "\x1b" + os.urandom(8).hex()
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 except tab and line feed, DEL, C1
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e0fff"  # bidirectional controls, separators of lines, characters without a shape
    "\ud800-\udfff]"  # halves of surrogate pairs, which no encoding can write
    f"(?:(?<=\x1b){_KEY[1:]})?"
)
_PROXY = re.compile(r"(?i)(?:https?|all|ftp)_proxy")
_LONGEST_NAME = 120
_AZURE = re.compile(r"#(?=#[A-Za-z]*\[)")
"""Commands to Azure Pipelines and TeamCity stand anywhere in a line: `##vso[...]`, `##[...]`, `##teamcity[...]`."""
_GITHUB = re.compile(r"^([^\S\n]*):(?=:[\w-]+[^\n]*::)", re.MULTILINE)
"""Commands to GitHub Actions start a line: `::add-mask::...`."""


def control(sequence: str) -> str:
    """Return the escape sequence `ESC sequence` for text that goes through the border."""
    return _KEY + sequence


def visible(text: str) -> str:
    """Return a text of any number of lines as it can be shown; what is not safe becomes `\\uXXXX`."""
    text = _CONTROL.sub(_shown, text)
    if "##" in text:
        text = _AZURE.sub("\\\\u0023", text)
    if "::" in text:
        text = _GITHUB.sub(r"\1\\u003a", text)
    return text


def one_line(text: str) -> str:
    """Return a text on one line: a line feed in it becomes `\\n`."""
    return text.replace("\n", "\\n")


def short(name: str) -> str:
    """Return a name for a question: a long one is cut, since it could push the question off the screen."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}… ({len(name)} characters)"


def confirm(question: str) -> None:
    """Ask a question on one line; raise Abort unless the answer is yes.

    Raise ClickException if there is no answer because standard input is not a terminal.
    """
    import click

    try:
        confirmed = click.confirm(one_line(question))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        detail = "This command asks for confirmation, and standard input is not a terminal. To confirm, add -force."
        raise click.ClickException(detail) from None
    if not confirmed:
        raise click.Abort


def _shown(match: re.Match[str]) -> str:
    found = match[0]
    return "\x1b" if found == _KEY else escaped(found)


def escaped(character: str) -> str:
    """Return a character as `\\uXXXX`, or as two of them outside of the basic plane, as JSON has it."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class Terminal:
    """A text stream that shows control characters instead of writing them."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text of any number of lines."""
        self.stream.write(visible(redacted(text)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self.stream, name)


def guard() -> None:
    """Put the border before standard output and standard error; done before, nothing changes."""
    if not isinstance(sys.stdout, Terminal):
        sys.stdout = cast(TextIO, Terminal(sys.stdout))
    if not isinstance(sys.stderr, Terminal):
        sys.stderr = cast(TextIO, Terminal(sys.stderr))


def redacted(text: str) -> str:
    """Return a text without the passwords of proxies, which errors of connections contain."""
    redactor = _proxy_redactor()
    return text if redactor is None else redactor.text(text)


@cache
def _proxy_redactor() -> Redactor | None:
    """Return what removes them; None where no proxy has a password, which is nearly everywhere."""
    if not any(_PROXY.fullmatch(name) and "@" in value for name, value in os.environ.items()):
        return None
    from dstream.plugins.redact import Redactor

    return Redactor()


def put(text: str, stream: TextIO) -> None:
    """Write a text through the border and flush it."""
    stream.write(text if isinstance(stream, Terminal) else visible(text))
    stream.flush()


def put_exact(text: str) -> None:
    """Write a text for another program to standard output: unchanged, unless that is a terminal."""
    stream: Any = sys.stdout
    if isinstance(stream, Terminal) and not stream.isatty():
        stream.stream.write(text)
    else:
        stream.write(text)
    stream.flush()
