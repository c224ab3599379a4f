"""Run failure: an exception of dstream or of the system as a diagnostic, on request with its traceback."""

from __future__ import annotations

import os
import traceback

from dstream.diagnostics import Diagnostic, error


def run_failure(what: str, problem: Exception) -> Diagnostic:
    """Return the diagnostic for an exception that ended `what`; with DSTREAM_DEBUG, its detail has the traceback."""
    name = type(problem).__name__
    detail = f"{what} failed: {problem}" if isinstance(problem, OSError) else f"{what} failed: {name}: {problem}"
    if os.environ.get("DSTREAM_DEBUG"):
        detail += "\n" + "".join(traceback.format_exception(problem)).rstrip()
    elif not isinstance(problem, OSError):
        detail += "\nThis is a bug in dstream. Please report it with the output of DSTREAM_DEBUG=1."
    return error("Run failure", detail)
