"""References: the names that an expression or body uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from dstream.config.syntax import tree
from dstream.diagnostics import SourceRange


class Reference(Struct, frozen=True):
    """A name with the part of what follows it that is written out: local.tables is `local` and `("tables",)`."""

    root: str
    path: tuple[str | int, ...]
    range: SourceRange

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return self.root + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in self.path)


Readable = tree.Node


def references(node: Readable) -> tuple[Reference, ...]:
    """Return the references in an expression or body, in order, without names that a `for` introduces."""
    return tuple(_walk(node, frozenset()))


def _walk(node: Any, bound: frozenset[str]) -> Iterator[Reference]:
    match node:
        case tree.Variable() | tree.GetAttr() | tree.Index():
            yield from _chain(node, bound)
        case tree.For():
            yield from _walk(node.collection, bound)
            inner = bound | {node.value_name} | ({node.key_name} if node.key_name else set())
            for part in (node.key, node.value, node.condition):
                if part is not None:
                    yield from _walk(part, inner)
        case tree.TemplateFor():
            yield from _walk(node.collection, bound)
            yield from _walk(node.body, bound | {node.value_name} | ({node.key_name} if node.key_name else set()))
        case tree.Block():
            yield from _block(node, bound)
        case tree.Body():
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
    keys: list[tree.Expr] = []
    current = node
    while isinstance(current, tree.GetAttr | tree.Index):
        if isinstance(current, tree.GetAttr):
            steps.append(current.name)
        elif isinstance(current.key, tree.Literal) and isinstance(current.key.value, str | int):
            steps.append(current.key.value)
        else:
            steps.append(None)
            keys.append(current.key)
        current = current.value
    if isinstance(current, tree.Variable):
        if current.name not in bound:
            steps.reverse()
            static = steps[: steps.index(None)] if None in steps else steps
            yield Reference(current.name, tuple(step for step in static if step is not None), node.range)
    else:
        yield from _walk(current, bound)
    for key in reversed(keys):
        yield from _walk(key, bound)


def _block(block: tree.Block, bound: frozenset[str]) -> Iterator[Reference]:
    if block.type != "dynamic" or len(block.label_nodes) != 1:
        yield from _walk(block.body, bound)
        return
    iterator = block.body.attributes.get("iterator")
    name = iterator.expr.name if iterator is not None and isinstance(iterator.expr, tree.Variable) else block.labels[0]
    for attribute in block.body.attributes.values():
        if attribute.name != "iterator":
            yield from _walk(attribute.expr, bound if attribute.name == "for_each" else bound | {name})
    for inner in block.body.blocks:
        yield from _walk(inner, bound | {name})


def children(node: tree.Node) -> list[tree.Node]:
    """Return the nodes directly inside an expression."""
    match node:
        case tree.GetAttr() | tree.Unary() | tree.Parentheses() | tree.TemplateWrap():
            return [node.value]
        case tree.Index():
            return [node.value, node.key]
        case tree.Splat():
            return [node.value, node.item]
        case tree.Call():
            return list(node.arguments)
        case tree.Binary():
            return [node.left, node.right]
        case tree.Conditional():
            return [node.condition, node.yes, node.no]
        case tree.TupleExpr():
            return list(node.items)
        case tree.ObjectExpr():
            return [part for item in node.items for part in item]
        case tree.For():
            parts = (node.collection, node.key, node.value, node.condition)
            return [part for part in parts if part is not None]
        case tree.Template():
            return list(node.parts)
        case tree.TemplateIf():
            return [node.condition, node.yes, *([node.no] if node.no is not None else [])]
        case tree.TemplateFor():
            return [node.collection, node.body]
        case _:
            return []
