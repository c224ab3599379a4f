"""evaluate: an expression and a scope -> a value, with HCL's semantics.

A result that depends on an unknown value is unknown, one that depends on a sensitive value is sensitive. Errors have
the range of the part of the expression that caused them.
"""

from __future__ import annotations

# Imported so that they register what they evaluate.
import dstream.lang.comprehensions
import dstream.lang.names
import dstream.lang.operations
import dstream.lang.templates  # noqa: F401  # as above
from dstream.config.syntax import tree
from dstream.lang.dispatch import EVALUATORS, evaluate_inner
from dstream.lang.errors import problem
from dstream.lang.scope import Scope
from dstream.lang.values import Value


def evaluate(expr: tree.Expr, scope: Scope) -> Value:
    """Return the value of an expression; raise DiagnosticsError."""
    try:
        return evaluate_inner(expr, scope)
    except RecursionError:
        detail = "The expression is nested too deeply. Move inner parts to locals."
        raise problem("Nested too deeply", detail, expr) from None


def _literal(expr: tree.Literal, _scope: Scope) -> Value:
    return expr.value


def _template_wrap(expr: tree.TemplateWrap, scope: Scope) -> Value:
    return evaluate_inner(expr.value, scope)


def _call(expr: tree.Call, scope: Scope) -> Value:
    from dstream.lang.calls import call

    return call(expr, scope)


EVALUATORS.update({tree.Literal: _literal, tree.TemplateWrap: _template_wrap, tree.Call: _call})
