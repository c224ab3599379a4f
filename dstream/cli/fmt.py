"""`dstream fmt`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from dstream.cli.options import Command, flag
from dstream.cli.render.paint import say


@click.command("fmt", cls=Command)
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@flag("check", help="Change nothing; exit with 3 if a file is not formatted.")
@flag("diff", help="Show what changes.")
@flag("write", default=True, help="Write the changes (default).")
@flag("list", default=True, help="List the files that are changed (default).")
@flag("recursive", help="Also the folders below.")
def command(paths: tuple[str, ...], check: bool, diff: bool, write: bool, list: bool, recursive: bool) -> int:
    """Format configurations: the files, or the files of the folders, that are named; `-` is the standard input."""
    from dstream.config.format import format_text
    from dstream.diagnostics import Diagnostic, DiagnosticsError

    changed = False
    problems: tuple[Diagnostic, ...] = ()
    for name in paths or (".",):
        if name == "-":
            text = sys.stdin.read()
            formatted = format_text(text, "<stdin>")
            changed |= formatted != text
            if diff:
                _diff("<stdin>", text, formatted)
            elif not check:
                sys.stdout.write(formatted)
            continue
        for path in _files(Path(name), recursive):
            text = path.read_text("utf-8")
            try:
                formatted = format_text(text, str(path))
            except DiagnosticsError as problem:
                problems += problem.diagnostics
                continue
            if formatted == text:
                continue
            changed = True
            if list:
                say(str(path))
            if diff:
                _diff(str(path), text, formatted)
            if write and not check:
                path.write_text(formatted, "utf-8")
    if problems:
        raise DiagnosticsError(problems)
    return 3 if check and changed else 0


def _files(path: Path, recursive: bool) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for pattern in ("*.hcl", "*.dsvars"):
            for found in sorted(path.rglob(pattern) if recursive else path.glob(pattern)):
                if not any(part.startswith(".") for part in found.relative_to(path).parts):
                    yield found
    else:
        raise click.ClickException(f"There is no file or folder {path}.")


def _diff(name: str, before: str, after: str) -> None:
    import difflib

    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    sys.stdout.writelines(difflib.unified_diff(old, new, f"old/{name}", f"new/{name}"))
