"""Failures of commands as text or JSON: diagnostics, errors of the state, and how to report a bug."""

from __future__ import annotations

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
    if isinstance(problem, OSError) and problem.filename is not None:
        return (error("Cannot use a file", f"{problem.filename}: {problem.strerror}"),)
    detail = (
        f"{type(problem).__name__}: {problem}\n"
        "This is a bug in dstream. Please report it with the output of DSTREAM_DEBUG=1."
    )
    return (error("Unexpected error", detail),)


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
