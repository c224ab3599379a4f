"""Failures of commands as text or JSON: diagnostics, errors of the state, and how to report a bug."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click

from dstream.cli.render.diagnostics import diagnostics_text
from dstream.cli.render.paint import paint_for, say_text
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream_state import StateError


def report(problem: Exception) -> None:
    """Write the failure to the standard error."""
    paint = paint_for(sys.stderr)
    diagnostics = diagnostics_of(problem)
    if os.environ.get("DSTREAM_DEBUG"):
        traceback.print_exception(problem, file=sys.stderr)
    say_text(diagnostics_text(diagnostics, _texts(diagnostics), paint), stream=sys.stderr)


def write_failure_json(found: tuple[Diagnostic, ...], _seconds: float) -> bool:
    """Write a failure as a JSON document, for commands without a format of their own; see `FailureWriter`."""
    from dstream.cli.render.formats import say_json

    say_json({"format_version": "1.0", "errored": True, "diagnostics": [each.to_json() for each in found]})
    return False


def diagnostics_of(problem: Exception) -> tuple[Diagnostic, ...]:
    """Return a failure as diagnostics."""
    if isinstance(problem, DiagnosticsError):
        return problem.diagnostics
    if isinstance(problem, click.ClickException):
        return (error("Invalid command", problem.format_message()),)
    if isinstance(problem, StateError):
        return (error(problem.summary, problem.detail),)
    if isinstance(problem, OSError):
        return (_system_error(problem),)
    if isinstance(problem, MemoryError):
        return (error("Out of memory", "Free some memory or raise the limit, and run the command again."),)
    detail = (
        f"{type(problem).__name__}: {problem}\n"
        "This is a bug in dstream. Please report it with the output of DSTREAM_DEBUG=1."
    )
    return (error("Unexpected error", detail),)


def _system_error(problem: OSError) -> Diagnostic:
    """Return what the operating system refused, with the way out where there is one."""
    files = " and ".join(str(name) for name in (problem.filename, problem.filename2) if name is not None)
    message = f"{files}: {problem.strerror}." if files else f"{problem.strerror or problem}."
    match problem.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            where = "" if files else " It may be that of standard output, of the configuration or of temporary files."
            return error("No space left", f"{message}{where} Free some space and run the command again.")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return error("Access denied by the system", f"{message} Give this user access, and run the command again.")
        case errno.EMFILE | errno.ENFILE:
            return error("Too many open files", f"{message} Raise the limit (ulimit -n 4096), or lower -parallelism.")
        case errno.ENOMEM:
            return error("Out of memory", f"{message} Free some memory or raise the limit, and run the command again.")
    return error("Cannot use a file", message) if files else error("System error", message)


def _texts(diagnostics: object) -> dict[str, str]:
    """Read the files of the diagnostics, to show the lines in question."""
    from pathlib import Path

    from dstream.diagnostics import Diagnostic

    texts: dict[str, str] = {}
    for diagnostic in diagnostics if isinstance(diagnostics, tuple) else ():
        if isinstance(diagnostic, Diagnostic) and diagnostic.subject is not None:
            name = diagnostic.subject.filename
            try:
                texts[name] = Path(name).read_text("utf-8-sig")
            except (OSError, UnicodeDecodeError):
                continue
    return texts
