"""Calls: converts the arguments of a function call to its parameters, and its result to a value."""

from __future__ import annotations

from contextlib import suppress

from dstream.config.syntax import tree
from dstream.diagnostics import DiagnosticsError
from dstream.lang import refinements
from dstream.lang.convert import convert
from dstream.lang.dispatch import evaluate_all
from dstream.lang.errors import choose, problem, sentence
from dstream.lang.functions import registry
from dstream.lang.functions.registry import Function, FunctionError, NotResolved, NotSet, NullArgument, Parameter
from dstream.lang.scope import Scope
from dstream.lang.types import ConversionError, described, type_of
from dstream.lang.values import (
    ListValue,
    MapValue,
    Sensitive,
    SetValue,
    Unknown,
    Value,
    contains_sensitive,
    contains_unknown,
    kind,
    mark,
    origins,
    strip_sensitive,
    unwrap,
)

_HIDDEN = "an argument is sensitive, so the reason is not shown"


def call(expr: tree.Call, scope: Scope) -> Value:
    """Return the value of a call; raise DiagnosticsError."""
    function = registry.find(expr.name.removeprefix("core::"))
    if function is None:
        detail = f"There is no function {expr.name}.{_near(expr.name)}"
        raise problem("Unknown function", detail, expr.name_range)
    try:
        if function.lazy:
            _check_count(function, len(expr.arguments), expr)
            result: Value = function.implementation(scope, expr.arguments)
            return result
        return _call(function, expr, scope)
    except NotResolved:
        return Unknown()
    except FunctionError as wrong:
        if isinstance(wrong, NullArgument) and wrong.argument is not None:
            raise _null(function, wrong, expr) from None
        blamed = expr.arguments[wrong.argument : wrong.argument + 1] if wrong.argument is not None else []
        at = blamed[0].range if blamed else expr.name_range
        if isinstance(wrong, NotSet):
            raise problem("Environment variable not set", wrong.message, at) from None
        raise problem("Error in a function call", f"{function.usage()}: {_ended(wrong.message)}", at) from None


def _null(function: Function, wrong: NullArgument, expr: tree.Call) -> DiagnosticsError:
    index = min(wrong.argument or 0, len(expr.arguments) - 1)
    argument = expr.arguments[index]
    if argument.text == "null" or (expr.expands and index == len(expr.arguments) - 1):
        detail = f'{function.usage()}: "{wrong.message}" is null, which is not allowed here.'
    else:
        detail = (
            f'{function.usage()}: "{wrong.message}" must not be null, and {argument.text} is. To use another value '
            f"instead: coalesce({argument.text}, ...)."
        )
    return problem("Null argument", detail, argument)


def _ended(message: str) -> str:
    return sentence(message)[:1].lower() + sentence(message)[1:] if message[:1].islower() else sentence(message)


def _near(name: str) -> str:
    suggestion = choose(name, registry.names(), "function")
    near, _, _ = suggestion.partition(" There are:")
    return near or " The functions are listed in docs/language.md."


def _call(function: Function, expr: tree.Call, scope: Scope) -> Value:
    arguments = _arguments(expr, scope)
    if arguments is None:
        return Unknown()
    _check_count(function, len(arguments), expr)
    marks: frozenset[str] | None = None
    unknown = False
    given: list[Value] = []
    for index, argument in enumerate(arguments):
        parameter = _parameter(function, index)
        if isinstance(argument, Sensitive) and not function.marked:
            marks = argument.origins if marks is None else marks | argument.origins
            argument = argument.value
        if isinstance(argument, Unknown) and not function.marked:
            unknown = True
            if words := parameter.excludes(argument.type):
                raise FunctionError(f"{words} is required, not {described(argument.type)}", index)
            given.append(_converted(argument, parameter, index, marks))
            continue
        value = _converted(argument, parameter, index, marks)
        if not function.shallow and not function.marked:
            if contains_sensitive(value):
                marks = (marks or frozenset()) | (origins(value) or frozenset())
                value = strip_sensitive(value)
            unknown = unknown or contains_unknown(value)
        given.append(value)
    if unknown and not refinements.decided(function.name, given):
        _check_kinds(function, given)
        return mark(refinements.result(function.name, given), marks)
    surroundings = [scope.surroundings] if function.surrounded else []
    if marks is None:
        return _typed(function.implementation(*surroundings, *given), function, given)
    try:
        return Sensitive(_typed(function.implementation(*surroundings, *given), function, given), marks)
    except NotResolved:
        return Sensitive(Unknown(), marks)
    except FunctionError as wrong:
        raise FunctionError(_HIDDEN, wrong.argument) from None


def _check_kinds(function: Function, given: list[Value]) -> None:
    """Raise FunctionError for an argument that is wrong whatever its unknown parts will be."""
    for index, value in enumerate(given):
        parameter = _parameter(function, index)
        if parameter.takes and value is not None and not isinstance(value, Unknown):
            with suppress(ConversionError):
                if words := parameter.excludes(type_of(value)):
                    raise FunctionError(f"{words} is required, not {kind(value)}", index)


def _typed(result: Value, function: Function, given: list[Value]) -> Value:
    """Return a list or object as a list or map with one element type, if the function returns those."""
    if not function.gives:
        return result
    if isinstance(result, Sensitive):
        return Sensitive(_typed(result.value, function, given), result.origins)
    collections = (unwrap(value) for value in given if value is not None and not isinstance(value, str | int))
    if function.gives == "same" and not all(
        isinstance(value, ListValue | MapValue | SetValue) for value in collections
    ):
        return result
    if isinstance(result, list):
        return ListValue(result)
    return MapValue(result) if isinstance(result, dict) else result


def _arguments(expr: tree.Call, scope: Scope) -> list[Value] | None:
    """Return the values of all arguments; None if it is not known how many there are."""
    values = evaluate_all(expr.arguments, scope)
    if not expr.expands:
        return values
    last = values.pop()
    marks: frozenset[str] | None = None
    if isinstance(last, Sensitive):
        marks, last = last.origins, last.value
    if isinstance(last, Unknown):
        return None
    if not isinstance(last, list | tuple | SetValue):
        detail = f"... expands the elements of a list, and this is {kind(last)}."
        raise problem("Invalid expansion", detail, expr.arguments[-1])
    return [*values, *(mark(item, marks) for item in last)]


def _parameter(function: Function, index: int) -> Parameter:
    if index < len(function.parameters):
        return function.parameters[index]
    if function.rest is None:
        raise FunctionError("too many arguments")
    return function.rest


def _check_count(function: Function, count: int, expr: tree.Call) -> None:
    most = len(function.parameters)
    least = most - function.optional
    if count >= least and (count <= most or function.rest is not None):
        return
    if count < least:
        missing = function.parameters[count].name
        takes = f"at least {least}" if function.rest is not None or function.optional else str(least)
        detail = f'{function.usage()} takes {_arguments_word(takes, least)}, not {count}: "{missing}" is missing.'
        raise problem("Not enough arguments", detail, expr)
    takes = f"up to {most}" if function.optional else str(most)
    detail = f"{function.usage()} takes {_arguments_word(takes, most)}, not {count}."
    at = expr.arguments[min(most, len(expr.arguments) - 1)]
    raise problem("Too many arguments", detail, at)


def _arguments_word(shown: str, count: int) -> str:
    return f"{shown} argument" if count == 1 else f"{shown} arguments"


def _converted(value: Value, parameter: Parameter, index: int, marks: frozenset[str] | None) -> Value:
    if value is None or (isinstance(value, Sensitive) and value.value is None):
        if parameter.nullable:
            return value
        raise NullArgument(parameter.name, index)
    try:
        return convert(value, parameter.type)
    except ConversionError as wrong:
        if marks is not None or contains_sensitive(value):
            raise FunctionError(f'"{parameter.name}": {parameter.type} is required; {_HIDDEN}', index) from None
        raise FunctionError(f'"{parameter.name}": {wrong.sentence()}', index) from None
