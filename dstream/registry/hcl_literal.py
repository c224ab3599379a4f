"""HCL literals: reads and writes values of HCL files that hold data only, such as the lock file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dstream.config.syntax.tree import Expr, Literal, ObjectExpr, Template, TupleExpr, Unary, Variable
from dstream.diagnostics import DiagnosticsError, error


def literal(expr: Expr) -> Any:
    """Return the JSON value of an expression without references; raise DiagnosticsError for any other."""
    match expr:
        case Literal():
            return _number(expr.value) if isinstance(expr.value, Decimal) else expr.value
        case Template() if all(isinstance(part, Literal) for part in expr.parts):
            return "".join(str(literal(part)) for part in expr.parts)
        case Unary() if expr.operator == "-":
            value = literal(expr.value)
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                return -value
        case TupleExpr():
            return [literal(item) for item in expr.items]
        case ObjectExpr():
            return {
                key.name if isinstance(key, Variable) else str(literal(key)): literal(value)
                for key, value in expr.items
            }
        case _:
            pass
    detail = "This file may contain only literal values: no variables, functions or references."
    raise DiagnosticsError(error("Value expected", detail, expr.range))


def _number(value: Decimal) -> int | Decimal:
    return int(value) if value == value.to_integral_value() else value


def written(value: Any, indent: int = 0) -> str:
    """Return the HCL text of a JSON value, over several lines for a collection."""
    inner, outer = "  " * (indent + 1), "  " * indent
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        keys = [name if name.isidentifier() and name.isascii() else quoted(name) for name in value]
        width = max(map(len, keys))
        lines = [
            f"{inner}{key:<{width}} = {written(each, indent + 1)}"
            for key, each in zip(keys, value.values(), strict=True)
        ]
        return "{\n" + "\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, list | tuple):
        if not any(isinstance(each, Mapping | list | tuple) for each in value):
            return "[" + ", ".join(written(each) for each in value) + "]"
        return "[\n" + "".join(f"{inner}{written(each, indent + 1)},\n" for each in value) + f"{outer}]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def quoted(text: str) -> str:
    """Return a text as an HCL string with template sequences escaped."""
    escaped = json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{").replace("{{", "{\\u007b")
    return escaped.replace("\\b", "\\u0008").replace("\\f", "\\u000c").replace("\x7f", "\\u007f")
