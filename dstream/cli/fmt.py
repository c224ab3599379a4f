"""`dstream fmt`."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dstream.cli.options import Command, flag
from dstream.cli.render.paint import say, say_text
from dstream.cli.render.terminal import put_exact
from dstream.files import LARGEST_TEXT, read_file

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic

_STDIN = "<stdin>"


@click.command("fmt", cls=Command)
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@flag("check", help="Do not write; exit with 3 if a file is not formatted.")
@flag("diff", help="Show the differences.")
@flag("write", default=True, help="Write the changes (default).")
@flag("list", default=True, help="List the changed files (default).")
@flag("recursive", help="Also format files in subfolders.")
def command(paths: tuple[str, ...], check: bool, diff: bool, write: bool, list: bool, recursive: bool) -> int:
    """Format configuration files: the given files, and the files in the given folders. `-` is standard input."""
    from dstream.config.syntax.format import format_text
    from dstream.diagnostics import DiagnosticsError

    changed = False
    problems: builtins.list[Diagnostic] = []
    texts: dict[str, str] = {}
    for name in _names(paths or (".",), recursive, problems):
        try:
            text = texts[name] = _read(name)
            formatted = format_text(text, name)
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
            continue
        if name == _STDIN:
            if diff:
                _diff(name, text, formatted)
            elif not check:
                put_exact(formatted)
        elif formatted != text:
            if list:
                say(name)
            if diff:
                _diff(name, text, formatted)
            if write and not check:
                Path(name).write_bytes(formatted.encode())
        changed |= formatted != text
    if problems:
        from dstream.cli.render.diagnostics import diagnostics_text
        from dstream.cli.render.paint import paint_for

        say_text(diagnostics_text(problems, texts, paint_for(sys.stderr)), stream=sys.stderr)
        return 2
    return 3 if check and changed else 0


def _names(paths: tuple[str, ...], recursive: bool, problems: list[Diagnostic]) -> Iterator[str]:
    """Yield the names of the files to format; report missing ones in `problems`."""
    from dstream.diagnostics import error

    for name in paths:
        path = Path(name)
        if name == "-":
            yield _STDIN
        elif path.is_dir():
            for pattern in ("*.hcl", "*.dsvars"):
                for found in sorted(path.rglob(pattern) if recursive else path.glob(pattern)):
                    if not any(part.startswith(".") for part in found.relative_to(path).parts):
                        yield str(found)
        elif path.exists():
            yield name
        else:
            problems.append(
                error("No such file or folder", f"{name} does not exist. Give files, folders, or - for standard input.")
            )


def _read(name: str) -> str:
    from dstream.diagnostics import DiagnosticsError, error

    try:
        data = sys.stdin.buffer.read() if name == _STDIN else read_file(Path(name), LARGEST_TEXT)
        return data.decode("utf-8")
    except OSError as problem:
        raise DiagnosticsError(error("Unreadable file", f"{name}: {problem.strerror}.")) from None
    except UnicodeDecodeError as problem:
        detail = f"{name} is not in UTF-8: byte {problem.start} is invalid. Save the file as UTF-8."
        raise DiagnosticsError(error("File not in UTF-8", detail)) from None


def _diff(name: str, before: str, after: str) -> None:
    import difflib

    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    put_exact("".join(difflib.unified_diff(old, new, f"old/{name}", f"new/{name}")))
