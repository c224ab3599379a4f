"""Conditions: evaluates `precondition`, `postcondition` and `check` blocks, and the references of `lifecycle`.

A condition that is unknown in a plan counts as met: apply evaluates it again, before and after the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dstream.config import Condition, Config, ResourceBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, Severity, error, warning
from dstream.engine.evaluate.desired import DesiredObject
from dstream.lang import Scope, evaluate, failure, references


def unmet_conditions(conditions: Iterable[Condition], scope: Scope, summary: str, address: str) -> Iterator[Diagnostic]:
    """Yield an error for each condition that is false or cannot be evaluated."""
    for condition in conditions:
        try:
            message = failure(condition, scope)
        except DiagnosticsError as problem:
            yield from problem.diagnostics
            continue
        if message is not None:
            yield error(summary, message, condition.condition.range, address=address)


def require_conditions(conditions: Iterable[Condition], scope: Scope, summary: str, address: str) -> None:
    """Raise DiagnosticsError if any condition is not met."""
    problems = list(unmet_conditions(conditions, scope, summary, address))
    if problems:
        raise DiagnosticsError(problems)


def check_triggers(block: ResourceBlock, scope: Scope) -> None:
    """Raise DiagnosticsError if a reference in `replace_triggered_by` of a block names nothing."""
    for expr in block.lifecycle.replace_triggered_by:
        if not any(reference.root == "task" for reference in references(expr)):  # a task has no value
            evaluate(expr, scope)


def check_preconditions(desired: DesiredObject, scope: Scope) -> Iterator[Diagnostic]:
    """Yield an error for each failed precondition of an object."""
    conditions = desired.lifecycle.preconditions
    if conditions:
        yield from unmet_conditions(conditions, _own(desired, scope), "Precondition not met", desired.address)


def check_postconditions(desired: DesiredObject, scope: Scope, value: Any) -> Iterator[Diagnostic]:
    """Yield an error for each failed postcondition of an object, whose real or planned `value` is `self`."""
    conditions = desired.lifecycle.postconditions
    if conditions:
        scope = _own(desired, scope).bind({"self": value})
        yield from unmet_conditions(conditions, scope, "Postcondition not met", desired.address)


def _own(desired: DesiredObject, scope: Scope) -> Scope:
    return desired.bind_instance(scope) if desired.bind_instance is not None else scope


def failed_checks(config: Config, scope: Scope) -> Iterator[Diagnostic]:
    """Yield a warning for each assertion of a `check` block that is false; checks do not block an operation."""
    for block in config.checks:
        for found in unmet_conditions(block.asserts, scope, "Failed check", f"check.{block.name}"):
            if found.severity is Severity.ERROR:
                yield warning(found.summary, found.detail, found.subject, address=f"check.{block.name}")
