"""References: which names an expression or body uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dstream.config import syntax
from dstream.diagnostics import SourceRange


@dataclass(frozen=True, slots=True)
class Reference:
    """A name with the part of what follows it that is written out: local.tables is `local` and `("tables",)`."""

    root: str
    path: tuple[str | int, ...]
    range: SourceRange

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return self.root + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in self.path)


Readable = syntax.Node


def references(node: Readable) -> tuple[Reference, ...]:
    """Return the references in an expression or body, in their order; names that a `for` introduces are none."""
    return tuple(_walk(node, frozenset()))


def _walk(node: Any, bound: frozenset[str]) -> Iterator[Reference]:
    match node:
        case syntax.Variable() | syntax.GetAttr() | syntax.Index():
            yield from _chain(node, bound)
        case syntax.For():
            yield from _walk(node.collection, bound)
            inner = bound | {node.value_name} | ({node.key_name} if node.key_name else set())
            for part in (node.key, node.value, node.condition):
                if part is not None:
                    yield from _walk(part, inner)
        case syntax.TemplateFor():
            yield from _walk(node.collection, bound)
            yield from _walk(node.body, bound | {node.value_name} | ({node.key_name} if node.key_name else set()))
        case syntax.Block():
            yield from _block(node, bound)
        case syntax.Body():
            for attribute in node.attributes.values():
                yield from _walk(attribute.expr, bound)
            for block in node.blocks:
                yield from _walk(block, bound)
            if node.expr is not None:
                yield from _walk(node.expr, bound)
        case _:
            for child in children(node):
                yield from _walk(child, bound)


def _chain(node: Any, bound: frozenset[str]) -> Iterator[Reference]:
    steps: list[str | int | None] = []
    keys: list[syntax.Expr] = []
    current = node
    while isinstance(current, syntax.GetAttr | syntax.Index):
        if isinstance(current, syntax.GetAttr):
            steps.append(current.name)
        elif isinstance(current.key, syntax.Literal) and isinstance(current.key.value, str | int):
            steps.append(current.key.value)
        else:
            steps.append(None)
            keys.append(current.key)
        current = current.value
    if isinstance(current, syntax.Variable):
        if current.name not in bound:
            steps.reverse()
            static = steps[: steps.index(None)] if None in steps else steps
            yield Reference(current.name, tuple(step for step in static if step is not None), node.range)
    else:
        yield from _walk(current, bound)
    for key in reversed(keys):
        yield from _walk(key, bound)


def _block(block: syntax.Block, bound: frozenset[str]) -> Iterator[Reference]:
    if block.type != "dynamic" or len(block.label_nodes) != 1:
        yield from _walk(block.body, bound)
        return
    iterator = block.body.attributes.get("iterator")
    name = (
        iterator.expr.name if iterator is not None and isinstance(iterator.expr, syntax.Variable) else block.labels[0]
    )
    for attribute in block.body.attributes.values():
        if attribute.name != "iterator":
            yield from _walk(attribute.expr, bound if attribute.name == "for_each" else bound | {name})
    for inner in block.body.blocks:
        yield from _walk(inner, bound | {name})


def children(node: syntax.Node) -> list[syntax.Node]:
    """Return the nodes directly inside an expression."""
    match node:
        case syntax.GetAttr() | syntax.Unary() | syntax.Parentheses() | syntax.TemplateWrap():
            return [node.value]
        case syntax.Index():
            return [node.value, node.key]
        case syntax.Splat():
            return [node.value, node.item]
        case syntax.Call():
            return list(node.arguments)
        case syntax.Binary():
            return [node.left, node.right]
        case syntax.Conditional():
            return [node.condition, node.yes, node.no]
        case syntax.TupleExpr():
            return list(node.items)
        case syntax.ObjectExpr():
            return [part for item in node.items for part in item]
        case syntax.For():
            parts = (node.collection, node.key, node.value, node.condition)
            return [part for part in parts if part is not None]
        case syntax.Template():
            return list(node.parts)
        case syntax.TemplateIf():
            return [node.condition, node.yes, *([node.no] if node.no is not None else [])]
        case syntax.TemplateFor():
            return [node.collection, node.body]
        case _:
            return []
