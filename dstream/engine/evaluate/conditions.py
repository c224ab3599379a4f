"""Conditions: `precondition`, `postcondition` and `check` blocks: what must hold, and what is said when it does not.

A condition that is not known yet holds for now: apply asks again, before and after it touches the object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dstream.config import Condition, Config
from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity, error, warning
from dstream.engine.evaluate.desired import Wanted
from dstream.lang import Scope, failure


def unmet(conditions: Iterable[Condition], scope: Scope, summary: str, address: str) -> Iterator[Diagnostic]:
    """Yield an error for each condition that does not hold, or that cannot be evaluated."""
    for condition in conditions:
        try:
            message = failure(condition, scope)
        except DiagnosticsError as problem:
            yield from problem.diagnostics
            continue
        if message is not None:
            yield error(summary, message, condition.condition.range, address=address)


def require(conditions: Iterable[Condition], scope: Scope, summary: str, address: str) -> None:
    """Raise DiagnosticsError if any condition does not hold."""
    problems = list(unmet(conditions, scope, summary, address))
    if problems:
        raise DiagnosticsError(problems)


def before(wanted: Wanted, scope: Scope) -> Iterator[Diagnostic]:
    """Yield what speaks against touching an object."""
    conditions = wanted.lifecycle.preconditions
    if conditions:
        yield from unmet(conditions, _own(wanted, scope), "Precondition not met", wanted.address)


def after(wanted: Wanted, scope: Scope, value: Any) -> Iterator[Diagnostic]:
    """Yield what is wrong with an object as it is, or will be; the conditions call it `self`."""
    conditions = wanted.lifecycle.postconditions
    if conditions:
        scope = _own(wanted, scope).bind({"self": value})
        yield from unmet(conditions, scope, "Postcondition not met", wanted.address)


def _own(wanted: Wanted, scope: Scope) -> Scope:
    return wanted.names(scope) if wanted.names is not None else scope


def failed_checks(config: Config, scope: Scope) -> Iterator[Diagnostic]:
    """Yield a warning for each assertion of a `check` block that does not hold: checks stop nothing."""
    for block in config.checks:
        for found in unmet(block.asserts, scope, "Check failed", f"check.{block.name}"):
            if found.severity is Severity.ERROR:
                yield warning(found.summary, found.detail, found.subject, address=f"check.{block.name}")
