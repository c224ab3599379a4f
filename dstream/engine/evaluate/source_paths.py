"""Source paths: the source range of a part of a body's value."""

from __future__ import annotations

from dstream.config import Body, Expr
from dstream.config.syntax.tree import Literal, ObjectExpr, Parentheses, TupleExpr
from dstream.diagnostics import SourceRange

Path = tuple[str | int, ...]
"""The path from a body to a part of its value: the name of an argument or block, then names and indexes."""


def name_range(body: Body, name: str) -> SourceRange:
    """Return the range of the name of an argument or block, or that of the body if it is not written."""
    attribute = body.attributes.get(name)
    if attribute is not None:
        return attribute.name_range
    block = next((block for block in body.blocks if block.type == name), None)
    return block.header_range if block is not None else body.range


def value_range(body: Body, path: Path) -> SourceRange:
    """Return the range of the innermost written expression around a part of a body's value."""
    name, rest = path[0], path[1:]
    attribute = body.attributes.get(str(name))
    if attribute is not None:
        return _inside(attribute.expr, rest).range
    blocks = [block for block in body.blocks if block.type == name]
    index = rest[0] if rest else 0
    if isinstance(index, int) and index < len(blocks):
        block = blocks[index]
        return value_range(block.body, rest[1:]) if len(rest) > 1 else block.header_range
    return body.range


def _inside(expr: Expr, path: Path) -> Expr:
    while path:
        while isinstance(expr, Parentheses):
            expr = expr.value
        step, path = path[0], path[1:]
        if isinstance(expr, TupleExpr) and isinstance(step, int) and step < len(expr.items):
            expr = expr.items[step]
        elif isinstance(expr, ObjectExpr):
            values = [value for key, value in expr.items if isinstance(key, Literal) and str(key.value) == step]
            if not values:
                return expr
            expr = values[-1]
        else:
            return expr
    return expr
