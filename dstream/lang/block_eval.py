"""evaluate_body: the arguments and nested blocks of a body -> an object."""

from __future__ import annotations

from collections.abc import Iterator

from dstream.config.syntax.tree import Attribute, Block, Body, Variable
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.lang.errors import problem
from dstream.lang.expressions import evaluate
from dstream.lang.scope import Scope
from dstream.lang.values import Sensitive, SetValue, Unknown, Value, kind, mark


def evaluate_body(body: Body, scope: Scope) -> dict[str, Value]:
    """Return a body as an object: nested blocks of one type become a list of objects, `dynamic` ones expanded.

    Raise DiagnosticsError with the errors of all arguments.
    """
    problems: list[Diagnostic] = []
    if body.expr is not None:
        return _of_expression(body, scope)
    made: dict[str, Value] = {}
    for name, attribute in body.attributes.items():
        try:
            made[name] = evaluate(attribute.expr, scope)
        except DiagnosticsError as wrong:
            problems.extend(wrong.diagnostics)
    for block in body.blocks:
        try:
            for type_, value in _blocks(block, scope):
                if type_ in body.attributes:
                    detail = (
                        f'"{type_}" is both an argument and a block here, with the same meaning. Remove one of them.'
                    )
                    raise problem("Set twice", detail, block.header_range)
                if isinstance(value, Unknown | Sensitive):
                    made[type_] = value
                elif isinstance(made.setdefault(type_, []), list):
                    made[type_].append(value)
        except DiagnosticsError as wrong:
            problems.extend(wrong.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return {name: made[name] for name in sorted(made)}


def _of_expression(body: Body, scope: Scope) -> dict[str, Value]:
    assert body.expr is not None  # noqa: S101  # the caller has looked
    value = evaluate(body.expr, scope)
    marks: frozenset[str] | None = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if isinstance(value, dict):
        return {name: mark(inner, marks) for name, inner in value.items()}
    if isinstance(value, Unknown):
        raise problem("Unknown settings", "The value of this object is known only after apply.", body.expr)
    raise problem("Object expected", f"Settings must be an object, {{ name = value }}, not {kind(value)}.", body.expr)


def _blocks(block: Block, scope: Scope) -> Iterator[tuple[str, Value]]:
    if block.type == "dynamic":
        yield from _dynamic(block, scope)
        return
    if block.label_nodes:
        detail = f'Nested blocks take no labels here. Set "{block.labels[0]}" as an argument of the block.'
        raise problem("Unexpected label", detail, block.header_range)
    yield block.type, evaluate_body(block.body, scope)


def _dynamic(block: Block, scope: Scope) -> Iterator[tuple[str, Value]]:
    shape = 'dynamic "TYPE" { for_each = ... content { ... } }'
    attributes, blocks = block.body.attributes, block.body.blocks
    contents = [inner for inner in blocks if inner.type == "content"]
    if len(block.labels) != 1 or "for_each" not in attributes or len(contents) != 1 or len(blocks) != 1:
        raise problem("Invalid dynamic block", f"A dynamic block is written {shape}.", block.header_range)
    extra = attributes.keys() - {"for_each", "iterator"}
    if extra:
        detail = f"A dynamic block takes for_each and iterator, and a content block; not {', '.join(sorted(extra))}."
        raise problem("Unknown argument", detail, attributes[min(extra)].name_range)
    type_ = block.labels[0]
    value = evaluate(attributes["for_each"].expr, scope)
    marks: frozenset[str] | None = None
    if isinstance(value, Sensitive):
        marks, value = value.origins, value.value
    if isinstance(value, Unknown):
        yield type_, mark(value, marks)
        return
    name = _iterator(attributes.get("iterator"), type_)
    made = []
    for key, item in _items(value, attributes["for_each"]):
        inner = scope.bind({name: {"key": key, "value": item}})
        made.append(evaluate_body(contents[0].body, inner))
    if marks is not None:
        yield type_, Sensitive(made, marks)
        return
    for one in made:
        yield type_, one


def _iterator(attribute: Attribute | None, type_: str) -> str:
    if attribute is None:
        return type_
    if isinstance(attribute.expr, Variable):
        return attribute.expr.name
    raise problem("Invalid iterator", "iterator is a name, without quotation marks: iterator = item.", attribute.expr)


def _items(value: Value, attribute: Attribute) -> list[tuple[Value, Value]]:
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, SetValue):
        return [(item, item) for item in value]
    raise problem("Wrong for_each", f"for_each takes a list, set or map, not {kind(value)}.", attribute.expr)
