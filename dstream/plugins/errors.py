"""Errors: diagnostics for providers that break the protocol, with the end of their stderr and the fix."""

from __future__ import annotations

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.plugins.process import describe_exit
from dstream.plugins.redact import Redactor, Tail

_SHOWN = 200


def failure(summary: str, detail: str, tail: Tail | None = None) -> Diagnostic:
    """Return an error whose detail ends with the last lines of the provider's stderr."""
    found = error(summary, detail)
    return found if tail is None else with_tail(found, tail)


def with_tail(diagnostic: Diagnostic, tail: Tail) -> Diagnostic:
    """Return a diagnostic with the end of the provider's stderr added to its detail."""
    text = str(tail)
    added = f"The end of its stderr:\n{_indent(text)}" if text else "It wrote nothing to its stderr."
    return replace(diagnostic, detail=f"{diagnostic.detail}\n{added}")


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def excerpt(line: bytes, redactor: Redactor) -> str:
    """Return the start of a line as it can be shown."""
    shown = redactor.scrub(line)[:_SHOWN].decode("utf-8", "replace")
    return repr(shown) + ("..." if len(line) > _SHOWN else "")


def died(
    name: str, waiting_for: str, code: int | None, rest: bytes, redactor: Redactor, tail: Tail
) -> DiagnosticsError:
    """The provider exited, or closed its stdout, before its final message."""
    ended = "closed its standard output" if code is None else describe_exit(code)
    if rest:
        detail = f"{name} {ended} in the middle of a line, before {waiting_for}: {excerpt(rest, redactor)}"
        return DiagnosticsError(failure("Incomplete line from provider", detail, tail))
    return DiagnosticsError(failure("Unexpected provider exit", f"{name} {ended} before {waiting_for}.", tail))


def hung(name: str, waiting_for: str, seconds: float, rest: bytes, redactor: Redactor, tail: Tail) -> DiagnosticsError:
    """The provider did not respond in time, and was killed."""
    detail = f"{name} was killed since it had not got to {waiting_for} within {seconds:g} s."
    if rest:
        detail += f" It had written half a line: {excerpt(rest, redactor)}"
    return DiagnosticsError(failure("No response from provider", detail, tail))


def garbage(name: str, waiting_for: str, line: bytes, redactor: Redactor, tail: Tail) -> DiagnosticsError:
    """The provider sent an unexpected message."""
    detail = (
        f"{name} wrote a line that is not {waiting_for}: {excerpt(line, redactor)}\n"
        "Its standard output is for the protocol alone; what it has to tell people belongs on its stderr."
    )
    return DiagnosticsError(failure("Provider protocol violation", detail, tail))
