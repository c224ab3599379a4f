"""Lint: what is wrong with a configuration, found without the state and without starting a data flow.

Providers that were probed before, or that a name or path in the configuration trusts, are asked for their schemas;
arguments are checked against these. What can be known only later (unset environment, resources) is unknown here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity
from dstream.engine.operation import Given, Operation, open_operation


@dataclass(frozen=True, slots=True)
class LintResult:
    """What was found, and the texts of the files that it was found in."""

    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, str]

    @property
    def valid(self) -> bool:
        """Whether there is no error."""
        return not any(d.severity is Severity.ERROR for d in self.diagnostics)

    def to_json(self) -> dict[str, Any]:
        """Return the result in the shape of `terraform validate -json`."""
        errors = sum(d.severity is Severity.ERROR for d in self.diagnostics)
        return {
            "format_version": "1.0",
            "valid": self.valid,
            "error_count": errors,
            "warning_count": len(self.diagnostics) - errors,
            "diagnostics": [d.to_json() for d in self.diagnostics],
        }


def lint(given: Given) -> LintResult:
    """Check a configuration; never raises for what is wrong with it."""
    try:
        operation = open_operation(given, unset_is_unknown=True)
    except DiagnosticsError as problem:
        return LintResult(tuple(problem.diagnostics), {})
    found: list[Diagnostic] = []
    try:
        _ = operation.graph
        found.extend(_checks(operation))
    except DiagnosticsError as problem:
        found.extend(problem.diagnostics)
    return LintResult(tuple(found), operation.config.sources)


def _checks(operation: Operation) -> list[Diagnostic]:
    from dstream.engine.schemas import check_schemas

    return check_schemas(operation)
