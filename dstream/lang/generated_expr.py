"""inline_locals: replaces references to locals in an expression's text by their expressions."""

from __future__ import annotations

from dstream.config.blocks import Config
from dstream.config.syntax.tree import Call, Expr, GetAttr, Literal, Node, TupleExpr, Variable
from dstream.lang.reference import children

_CLOSED = (Literal, TupleExpr, Variable, GetAttr)


def inline_locals(expr: Expr, config: Config) -> str:
    """Return the source text of an expression in which no `local.NAME` is left.

    The state stores this expression instead of a sensitive value. A local that refers to itself, or is not declared,
    stays unchanged.
    """
    return _inlined(expr, config, ())


def _inlined(expr: Expr, config: Config, inside: tuple[str, ...]) -> str:
    pieces: list[tuple[int, int, str]] = []
    _find(expr, config, inside, pieces)
    text = expr.source.text
    made: list[str] = []
    at = expr.start
    for start, end, replacement in sorted(pieces):
        if start >= at:
            made.append(text[at:start])
            made.append(replacement)
            at = end
    made.append(text[at : expr.end])
    return "".join(made)


def _find(node: Node, config: Config, inside: tuple[str, ...], pieces: list[tuple[int, int, str]]) -> None:
    if isinstance(node, GetAttr) and isinstance(node.value, Variable) and node.value.name == "local":
        attribute = config.locals.get(node.name)
        if attribute is not None and node.name not in inside:
            inner = attribute.expr
            replacement = _inlined(inner, config, (*inside, node.name))
            simple = isinstance(inner, _CLOSED) or (isinstance(inner, Call) and inner.text.endswith(")"))
            # A heredoc's end marker must be alone on its line, so the bracket follows on the next one.
            wrapped = f"({replacement}\n)" if "<<" in replacement else f"({replacement})"
            pieces.append((node.start, node.end, replacement if simple else wrapped))
        return
    for child in children(node):
        _find(child, config, inside, pieces)
