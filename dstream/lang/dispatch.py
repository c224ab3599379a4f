"""Dispatch: the evaluator of each kind of expression.

The modules that evaluate register themselves in `EVALUATORS`; they call `evaluate_inner` for parts of an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from dstream.config.syntax.tree import Expr
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.lang.scope import Scope
from dstream.lang.values import Value

Marks: TypeAlias = frozenset[str] | None
"""The origins of a sensitive value; None for one that is not sensitive."""

EVALUATORS: dict[type, Callable[[Any, Scope], Value]] = {}
"""The evaluators by kind of expression."""


def evaluate_inner(expr: Expr, scope: Scope) -> Value:
    """Return the value of a part of an expression; raise DiagnosticsError."""
    return EVALUATORS[type(expr)](expr, scope)


def evaluate_all(exprs: Iterable[Expr], scope: Scope) -> list[Value]:
    """Return the values of several expressions; raise DiagnosticsError with the errors of all of them."""
    values: list[Value] = []
    problems: list[Diagnostic] = []
    for expr in exprs:
        try:
            values.append(EVALUATORS[type(expr)](expr, scope))
        except DiagnosticsError as wrong:
            problems.extend(wrong.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return values
