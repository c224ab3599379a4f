"""Language: evaluates expressions and bodies in a scope; has the values, types and functions.

Value types are imported with the package, evaluation on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dstream.lang.values import (
    UNKNOWN,
    Sensitive,
    SetValue,
    Unknown,
    Value,
    child,
    contains_sensitive,
    contains_unknown,
    sensitive_paths,
    strip_sensitive,
    value_at,
)

if TYPE_CHECKING:
    from dstream.lang.block_eval import evaluate_body
    from dstream.lang.expressions import evaluate
    from dstream.lang.format_value import to_text
    from dstream.lang.generated_expr import inline_locals
    from dstream.lang.jsonvalue import from_json_value, to_json_value, value_as_json
    from dstream.lang.module import Module, failure
    from dstream.lang.reference import Reference, references
    from dstream.lang.scope import Lazy, Namespace, Scope, Surroundings

__all__ = [
    "UNKNOWN",
    "Lazy",
    "Module",
    "Namespace",
    "Reference",
    "Scope",
    "Sensitive",
    "SetValue",
    "Surroundings",
    "Unknown",
    "Value",
    "child",
    "contains_sensitive",
    "contains_unknown",
    "evaluate",
    "evaluate_body",
    "failure",
    "from_json_value",
    "inline_locals",
    "references",
    "sensitive_paths",
    "strip_sensitive",
    "to_json_value",
    "to_text",
    "value_as_json",
    "value_at",
]

_WHERE = {
    "Lazy": "scope",
    "Module": "module",
    "Namespace": "scope",
    "Reference": "reference",
    "Scope": "scope",
    "Surroundings": "scope",
    "evaluate": "expressions",
    "evaluate_body": "block_eval",
    "failure": "module",
    "from_json_value": "jsonvalue",
    "inline_locals": "generated_expr",
    "references": "reference",
    "to_json_value": "jsonvalue",
    "to_text": "format_value",
    "value_as_json": "jsonvalue",
}


def __getattr__(name: str) -> Any:
    """Import a name with its first use (PEP 562)."""
    if name in _WHERE:
        return getattr(import_module(f"dstream.lang.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
