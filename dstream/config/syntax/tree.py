"""Syntax tree: the nodes of a configuration, with source ranges.

Nodes hold the offsets of their text and compute lines and columns on demand. They are compared and hashed by identity.
Only the builder modifies them. They form a tree, without cycles, so the garbage collector does not track them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from dstream.config.syntax.source import Source
from dstream.diagnostics import SourceRange

if TYPE_CHECKING:
    from decimal import Decimal


class Node(Struct, eq=False, gc=False):
    """A part of the text of one file, from `start` to `end`, exclusive. Subclasses inherit these options."""

    source: Source
    start: int
    end: int

    @property
    def range(self) -> SourceRange:
        """The range of the node."""
        return self.source.range(self.start, self.end)

    @property
    def text(self) -> str:
        """The text of the node."""
        return self.source.text[self.start : self.end]


class Expr(Node):
    """An expression."""


class Literal(Expr):
    """A number, a boolean, null, or a string without template sequences."""

    value: bool | int | Decimal | str | None


class Variable(Expr):
    """A name, the root of a reference."""

    name: str


class GetAttr(Expr):
    """`value.name`."""

    value: Expr
    name: str
    name_start: int

    @property
    def name_range(self) -> SourceRange:
        """The range of the name after the dot."""
        return self.source.range(self.name_start, self.end)


class Index(Expr):
    """`value[key]`, or `value.0` in the old style."""

    value: Expr
    key: Expr


class SplatItem(Expr):
    """The current element of a splat; the root of `Splat.item`."""


class Splat(Expr):
    """`value[*]...` (full) or `value.*...`: `item` is evaluated for each element."""

    value: Expr
    item: Expr
    full: bool
    symbol: SplatItem


class Call(Expr):
    """A function call; `expands` if the last argument is followed by `...`."""

    name: str
    arguments: list[Expr]
    expands: bool
    name_end: int

    @property
    def name_range(self) -> SourceRange:
        """The range of the function's name."""
        return self.source.range(self.start, self.name_end)


class Unary(Expr):
    """`-value` or `!value`."""

    operator: str
    value: Expr


class Binary(Expr):
    """Two operands with an operator between them."""

    operator: str
    left: Expr
    right: Expr


class Conditional(Expr):
    """`condition ? yes : no`."""

    condition: Expr
    yes: Expr
    no: Expr


class Parentheses(Expr):
    """`(value)`; kept, since `{ (x) = 1 }` differs from `{ x = 1 }`."""

    value: Expr


class TupleExpr(Expr):
    """`[a, b]`."""

    items: list[Expr]


class ObjectExpr(Expr):
    """`{ a = b }`; a bare name as a key is a Literal here."""

    items: list[tuple[Expr, Expr]]


class For(Expr):
    """`[for k, v in collection : value if condition]`, or with a key `{for ...}`."""

    key_name: str | None
    value_name: str
    collection: Expr
    key: Expr | None
    value: Expr
    condition: Expr | None
    grouping: bool


class Template(Expr):
    """A string with template sequences; its value is the concatenation of the parts."""

    parts: list[Expr]


class TemplateWrap(Expr):
    """`"${value}"` alone: the value keeps its type."""

    value: Expr


class TemplateIf(Expr):
    """`%{ if condition }yes%{ else }no%{ endif }`."""

    condition: Expr
    yes: Template
    no: Template | None


class TemplateFor(Expr):
    """`%{ for k, v in collection }body%{ endfor }`."""

    key_name: str | None
    value_name: str
    collection: Expr
    body: Template


class Attribute(Node):
    """`name = expr`."""

    name: str
    expr: Expr
    name_end: int

    @property
    def name_range(self) -> SourceRange:
        """The range of the name."""
        return self.source.range(self.start, self.name_end)


class Label(Node):
    """A label of a block, bare or in quotation marks."""

    value: str


class Body(Node):
    """Attributes by name (the first of duplicates), and blocks in order.

    `expr` is set for `config = EXPRESSION`, whose names are known only after evaluation; the rest is empty then.
    """

    attributes: dict[str, Attribute]
    blocks: list[Block]
    expr: Expr | None = None

    def without(self, names: frozenset[str], blocks: frozenset[str] = frozenset()) -> Body:
        """Return the body without the attributes of these names and the blocks of these types."""
        return Body(
            self.source,
            self.start,
            self.end,
            {name: attribute for name, attribute in self.attributes.items() if name not in names},
            [block for block in self.blocks if block.type not in blocks],
            self.expr,
        )


class Block(Node):
    """`type label label { body }`."""

    type: str
    label_nodes: list[Label]
    body: Body
    header_end: int

    @property
    def labels(self) -> tuple[str, ...]:
        """The texts of the labels."""
        return tuple(label.value for label in self.label_nodes)

    @property
    def header_range(self) -> SourceRange:
        """The range of type and labels."""
        return self.source.range(self.start, self.header_end)
