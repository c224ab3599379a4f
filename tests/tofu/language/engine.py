"""The facts of dstream, in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from dstream.config import parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import (
    Scope,
    SetValue,
    Unknown,
    contains_unknown,
    evaluate,
    sensitive_paths,
    strip_sensitive,
)
from dstream.lang.types import ANY, Collection, ConversionError, ObjectType, Primitive, TupleType, Type, type_of
from tests.tofu.language import inputs
from tests.tofu.language.fact import UNKNOWN, Fact


def facts(expressions: Sequence[str]) -> list[Fact]:
    """Return what dstream gives each expression."""
    with tempfile.TemporaryDirectory(prefix="tofu-language-") as folder:
        inputs.write_files(Path(folder))
        scope = inputs.scope(Path(folder))
        return [fact(each, scope) for each in expressions]


def fact(expression: str, scope: Scope) -> Fact:
    """Return what dstream gives an expression."""
    try:
        parsed = parse_text(f"value = {expression}\n", "expression")
        if parsed.diagnostics:
            return Fact(error=True)
        value = evaluate(parsed.body.attributes["value"].expr, scope)
    except DiagnosticsError:
        return Fact(error=True)
    paths = sorted(
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path) or "."
        for path, _ in sensitive_paths(value)
    )
    plain = strip_sensitive(value)
    return Fact(value=_json(plain), type=None if contains_unknown(plain) else _type(plain), sensitive=tuple(paths))


def _json(value: Any) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, dict):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | SetValue):
        return [_json(inner) for inner in value]
    if isinstance(value, float):
        raise TypeError("a float is not a value of the language")
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _type(value: Any) -> Any:
    try:
        return _written(type_of(value))
    except ConversionError as problem:
        return f"broken: {problem.message}"


def _written(type_: Type) -> Any:
    match type_:
        case Primitive():
            return "dynamic" if type_ == ANY else type_.name
        case Collection():
            return [type_.name, _written(type_.element)]
        case TupleType():
            return ["tuple", [_written(each) for each in type_.elements]]
        case ObjectType():
            return ["object", {name: _written(each) for name, each in type_.attributes.items()}]
