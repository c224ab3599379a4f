"""Diagnostics: errors and warnings with a summary, a detail and a source range.

Diagnostics are collected, not raised one by one: a function that can find several independent problems returns or
accumulates them; `DiagnosticsError` carries them if the caller cannot continue. The summary is a constant noun phrase
for each kind of problem, and has a code in `error_codes`; the detail says what is wrong, why, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from msgspec import Struct


class Severity(StrEnum):
    """An error stops the operation, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Position(Struct, frozen=True):
    """A position in a text, counted in characters: offset from 0, line and column from 1."""

    offset: int
    line: int
    column: int


class SourceRange(Struct, frozen=True):
    """A range of a file; `end` is exclusive."""

    filename: str
    start: Position
    end: Position

    def __str__(self) -> str:
        """Return `file:line:column` of the start."""
        return f"{self.filename}:{self.start.line}:{self.start.column}"

    def to_json(self) -> dict[str, Any]:
        """Return the range in the shape of `terraform validate -json`, with `byte` as the character offset."""

        def position(p: Position) -> dict[str, int]:
            return {"line": p.line, "column": p.column, "byte": p.offset}

        return {"filename": self.filename, "start": position(self.start), "end": position(self.end)}


class Diagnostic(Struct, frozen=True):
    """One problem: a constant summary, a detail, and its source range and address where they are known.

    `code` is set only if a provider reported the diagnostic.
    """

    severity: Severity
    summary: str
    detail: str = ""
    subject: SourceRange | None = None
    address: str | None = None
    code: str | None = None
    transient: bool = False
    """Whether the same operation may succeed later: a provider's error of class `retriable`."""

    @property
    def error_code(self) -> str | None:
        """The stable code of this kind of problem, such as `DS1203`."""
        if self.code is not None:
            return self.code
        from dstream.error_codes import code_of  # reads the table: only when a diagnostic is shown

        return code_of(self.summary)

    @property
    def title(self) -> str:
        """The summary with its code, as messages show it."""
        return f"{self.summary} [{self.error_code}]" if self.error_code else self.summary

    def to_json(self) -> dict[str, Any]:
        """Return the diagnostic in the shape of `terraform validate -json`, with its `code`."""
        out: dict[str, Any] = {"severity": str(self.severity), "summary": self.summary, "detail": self.detail}
        if self.error_code is not None:
            out["code"] = self.error_code
        if self.address is not None:
            out["address"] = self.address
        if self.subject is not None:
            out["range"] = self.subject.to_json()
        return out


def error(
    summary: str, detail: str = "", subject: SourceRange | None = None, *, address: str | None = None
) -> Diagnostic:
    """Return a diagnostic of severity error."""
    return Diagnostic(Severity.ERROR, summary, detail, subject, address)


def warning(
    summary: str, detail: str = "", subject: SourceRange | None = None, *, address: str | None = None
) -> Diagnostic:
    """Return a diagnostic of severity warning."""
    return Diagnostic(Severity.WARNING, summary, detail, subject, address)


class DiagnosticsError(Exception):
    """The operation cannot continue; `diagnostics` has the reasons, at least one of them an error."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic) -> None:
        """Take one diagnostic or several."""
        self.diagnostics = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        super().__init__("; ".join(f"{d.subject}: {d.summary}" if d.subject else d.summary for d in self.diagnostics))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Return whether any of the diagnostics is an error."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
