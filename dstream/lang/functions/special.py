"""Functions with special evaluation: try, can and env."""

from __future__ import annotations

from collections.abc import Iterator

from dstream.config.syntax.tree import Expr
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.lang.errors import discarded, discarding
from dstream.lang.functions.registry import FunctionError, NotSet, function
from dstream.lang.scope import Scope, Surroundings
from dstream.lang.types import STRING
from dstream.lang.values import Sensitive, Unknown, Value, contains_unknown, mark, origins, unwrap


@function("expressions...: any", name="try", lazy=True)
def try_(scope: Scope, arguments: list[Expr]) -> Value:
    """Return the value of the first expression without an error."""
    from dstream.lang.expressions import evaluate

    if not arguments:
        raise FunctionError("try needs at least one expression")
    for argument in arguments:
        try:
            with discarding():
                return evaluate(argument, scope)
        except DiagnosticsError:
            continue
    if discarded():
        raise FunctionError("no expression gives a value")
    reasons = "\n".join(f"  {each.subject}: {each.summary}. {each.detail}" for each in _problems(arguments, scope))
    raise FunctionError(f"no expression gives a value:\n{reasons}\nAdd a last expression that cannot fail")


def _problems(arguments: list[Expr], scope: Scope) -> Iterator[Diagnostic]:
    """Yield the errors of expressions that fail, with all that is left out while errors are discarded."""
    from dstream.lang.expressions import evaluate

    for argument in arguments:
        try:
            evaluate(argument, scope)
        except DiagnosticsError as problem:
            yield from problem.diagnostics


@function("expression: any", lazy=True)
def can(scope: Scope, arguments: list[Expr]) -> Value:
    """Return whether an expression evaluates without an error."""
    from dstream.lang.expressions import evaluate

    try:
        with discarding():
            value = evaluate(arguments[0], scope)
    except DiagnosticsError:
        return False
    return Unknown() if contains_unknown(value) else True


@function("name: string, default?: any|null", surrounded=True, marked=True)
def env(surroundings: Surroundings, name: Value, default: Value = ...) -> Value:
    """Return an environment variable, which is sensitive, or the default if it is not set."""
    variable = unwrap(name)
    if surroundings.confinement is not None and not surroundings.confinement.resolves(variable):
        return Sensitive(Unknown(STRING), {f"env {variable}"})
    value = surroundings.env.get(variable)
    if value is not None:
        surroundings.secret_texts.add(value)
        return Sensitive(value, {f"env {variable}"})
    if default is not ...:
        return mark(default, origins(name))
    if surroundings.unset_is_unknown:
        return Sensitive(Unknown(STRING), {f"env {variable}"})
    raise NotSet(
        f"The environment variable {variable} is not set. Set it before starting dstream, or give a default: "
        f'env("{variable}", "...").',
        0,
    )
