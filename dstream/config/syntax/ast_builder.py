"""AST builder: creates the nodes of the syntax tree when the parser completes rules of the grammar."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any, cast

from msgspec import Struct

from dstream.config.syntax.source import Source
from dstream.config.syntax.templates import Sequence_, TemplateBuilder, for_names, go_template
from dstream.config.syntax.tokens import Token
from dstream.config.syntax.tree import (
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Conditional,
    Expr,
    For,
    GetAttr,
    Index,
    Label,
    Literal,
    ObjectExpr,
    Parentheses,
    Splat,
    SplatItem,
    TupleExpr,
    Unary,
    Variable,
)
from dstream.diagnostics import Diagnostic, error

_MAX_DIGITS = 10_000


class _Step(Struct):
    """`.name`, `.0` or `[key]` after a value."""

    start: int
    end: int
    name: str | None = None
    key: Expr | None = None


class _Intro(Struct):
    """`for k, v in collection :`."""

    names: tuple[str, ...]
    collection: Expr


class Builder:
    """Creates the nodes of one source. `builders` has a method for each rule, by the rule's name."""

    def __init__(self, source: Source) -> None:
        """Collect problems that the grammar cannot express in `diagnostics`."""
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self._templates = TemplateBuilder(source, self.diagnostics)
        self.builders: dict[str, Callable[[list[Any]], Any]] = {
            name[1:]: getattr(self, name) for name in dir(self) if name.startswith("_") and name[1:] in _RULES
        }
        self.builders["tuple"] = self._tuple_expr

    # Structure

    def _body(self, parts: list[Any]) -> Body:
        items = [part for part in parts if type(part) is not Token]
        start = items[0].start if items else 0
        return self.make_body(start, items[-1].end if items else start, items)

    def make_body(self, start: int, end: int, items: list[Attribute | Block]) -> Body:
        """Return a body of these items; report duplicate attributes."""
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        for item in items:
            if isinstance(item, Block):
                blocks.append(item)
            elif item.name in attributes:
                first = attributes[item.name].name_range
                detail = (
                    f'The argument "{item.name}" was already set on line {first.start.line}. '
                    "An argument can be set only once; remove one of the two."
                )
                self.diagnostics.append(error("Argument set twice", detail, item.name_range))
            else:
                attributes[item.name] = item
        return Body(self.source, start, end, attributes, blocks)

    def _attribute(self, parts: list[Any]) -> Attribute:
        name, _, expr = parts
        return Attribute(self.source, name.start, expr.end, name.text, expr, name.end)

    def _block(self, parts: list[Any]) -> Block:
        brace = next(i for i, part in enumerate(parts) if type(part) is Token and part.type == "LBRACE")
        header = parts[:brace]
        items = [part for part in parts[brace + 1 : -1] if type(part) is not Token]
        end = parts[-1].end
        body = self.make_body(parts[brace].start, end, items)
        labels = [self._label(part) for part in header[1:]]
        return Block(self.source, header[0].start, end, header[0].text, labels, body, header[-1].end)

    def _label(self, part: Token | Expr) -> Label:
        if isinstance(part, Token):
            return Label(self.source, part.start, part.end, part.text)
        if isinstance(part, Literal) and isinstance(part.value, str):
            return Label(self.source, part.start, part.end, part.value)
        detail = "A block label must be a literal string: it names the block, so it cannot be computed."
        self.diagnostics.append(error("Template in a label", detail, part.range))
        return Label(self.source, part.start, part.end, part.text.strip('"'))

    # Terms

    def _expr_term(self, parts: list[Any]) -> Expr:
        if len(parts) == 3:
            return Parentheses(self.source, parts[0].start, parts[2].end, parts[1])
        part = parts[0]
        if type(part) is not Token:
            return cast(Expr, part)
        match part.type:
            case "NAME":
                return Variable(self.source, part.start, part.end, part.text)
            case "INT_LITERAL" | "FLOAT_LITERAL":
                return Literal(self.source, part.start, part.end, self._number(part))
            case "GO_TEMPLATE":
                return go_template(self.source, part)
            case _:
                value = {"TRUE": True, "FALSE": False, "NULL": None}[part.type]
                return Literal(self.source, part.start, part.end, value)

    def _number(self, token: Token) -> int | Decimal:
        digits = len(token.text)
        if token.type == "INT_LITERAL":
            if digits > _MAX_DIGITS:
                return self._too_large(token)
            return int(Decimal(token.text)) if digits > 4000 else int(token.text)
        try:
            number = Decimal(token.text)
        except InvalidOperation:  # an exponent that no Decimal holds
            return self._too_large(token)
        if digits > _MAX_DIGITS or not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS:
            return self._too_large(token) if number else 0
        return int(number) if number == number.to_integral_value() else number.normalize(Context(prec=digits + 1))

    def _too_large(self, token: Token) -> int:
        detail = f"Numbers may have up to {_MAX_DIGITS} digits. For a string, use quotation marks."
        self.diagnostics.append(error("Number out of range", detail, self.source.range(token.start, token.end)))
        return 0

    def _tuple_expr(self, parts: list[Any]) -> Expr:
        items = [part for part in parts if type(part) is not Token]
        return TupleExpr(self.source, parts[0].start, parts[-1].end, items)

    def _object(self, parts: list[Any]) -> Expr:
        items = [part for part in parts if type(part) is not Token]
        return ObjectExpr(self.source, parts[0].start, parts[-1].end, items)

    def _object_elem(self, parts: list[Any]) -> tuple[Expr, Expr]:
        key, _, value = parts
        if isinstance(key, Token):
            if key.type == "FOR":
                detail = 'The word for starts a for expression here. As a key, write it in quotation marks: "for".'
                self.diagnostics.append(error("Reserved key", detail, self.source.range(key.start, key.end)))
            return Literal(self.source, key.start, key.end, key.text), value
        if isinstance(key, Literal) and (key.value is None or isinstance(key.value, bool)):
            return Literal(self.source, key.start, key.end, key.text), value
        if isinstance(key, Variable):
            return Literal(self.source, key.start, key.end, key.name), value
        return key, value

    def _function_call(self, parts: list[Any]) -> Expr:
        paren = next(i for i, part in enumerate(parts) if type(part) is Token and part.type == "LPAR")
        name = "".join(part.text for part in parts[:paren])
        given = parts[paren + 1] if len(parts) - paren == 3 else []
        expands = bool(given) and type(given[-1]) is Token and given[-1].type == "ELLIPSIS"
        arguments = [part for part in given if type(part) is not Token]
        return Call(self.source, parts[0].start, parts[-1].end, name, arguments, expands, parts[paren - 1].end)

    def _arguments(self, parts: list[Any]) -> list[Any]:
        return parts

    # Operators

    def _binary_op(self, parts: list[Any]) -> Expr:
        left, (operator, right) = parts
        return Binary(self.source, left.start, right.end, operator.text, left, right)

    def _unary_op(self, parts: list[Any]) -> Expr:
        operator, value = parts
        return Unary(self.source, operator.start, value.end, operator.text, value)

    def _conditional(self, parts: list[Any]) -> Expr:
        condition, _, yes, _, no = parts
        return Conditional(self.source, condition.start, no.end, condition, yes, no)

    # What follows a value

    def _get_attr(self, parts: list[Any]) -> _Step:
        return _Step(parts[1].start, parts[1].end, name=parts[1].text)

    def _short_index(self, parts: list[Any]) -> _Step:
        key = Literal(self.source, parts[1].start, parts[1].end, self._number(parts[1]))
        return _Step(parts[0].start, parts[1].end, key=key)

    def _braces_index(self, parts: list[Any]) -> _Step:
        return _Step(parts[0].start, parts[2].end, key=parts[1])

    def _attr_splat(self, parts: list[Any]) -> list[Any]:
        return parts

    def _full_splat(self, parts: list[Any]) -> list[Any]:
        return parts

    def _index_expr_term(self, parts: list[Any]) -> Expr:
        return self._follow(parts[0], parts[1])

    def _get_attr_expr_term(self, parts: list[Any]) -> Expr:
        return self._follow(parts[0], parts[1])

    def _attr_splat_expr_term(self, parts: list[Any]) -> Expr:
        return self._splat(parts[0], parts[1], full=False)

    def _full_splat_expr_term(self, parts: list[Any]) -> Expr:
        return self._splat(parts[0], parts[1], full=True)

    def _splat(self, value: Expr, parts: list[Any], *, full: bool) -> Expr:
        if isinstance(value, Splat) and value.full:
            value.item = self._splat(value.item, parts, full=full)
            value.end = value.item.end
            return value
        token = parts[0]
        if isinstance(value, Splat) and not full:
            detail = "A .* cannot be nested in another .*; use [*]."
            self.diagnostics.append(error("Nested splat", detail, self.source.range(token.start, token.end)))
        symbol = SplatItem(self.source, token.start, token.end)
        made: Expr = Splat(self.source, value.start, token.end, value, symbol, full, symbol)
        for step in parts[1:]:
            made = self._follow(made, step)
        return made

    def _follow(self, value: Expr, step: _Step) -> Expr:
        # A full splat takes in all that follows, `.*` only names: `x.*.a[0]` is the first of all a.
        if isinstance(value, Splat) and (value.full or self.source.text[step.start] != "["):
            value.item = self._follow(value.item, step)
            value.end = step.end
            return value
        if step.name is not None:
            return GetAttr(self.source, value.start, step.end, value, step.name, step.start)
        return Index(self.source, value.start, step.end, value, cast(Expr, step.key))

    # for

    def _for_intro(self, parts: list[Any]) -> _Intro:
        names = tuple(part.text for part in parts if type(part) is Token and part.type == "NAME")
        collection = next(part for part in parts if type(part) is not Token)
        return _Intro(names, collection)

    def _for_cond(self, parts: list[Any]) -> list[Any]:
        return parts

    def _for_tuple_expr(self, parts: list[Any]) -> Expr:
        return self._for(parts, [part for part in parts[2:-1] if isinstance(part, Expr)])

    def _for_object_expr(self, parts: list[Any]) -> Expr:
        return self._for(parts, [part for part in parts[2:-1] if isinstance(part, Expr)])

    def _for(self, parts: list[Any], made: list[Expr]) -> Expr:
        intro: _Intro = parts[1]
        condition = next((part[1] for part in parts if isinstance(part, list)), None)
        grouping = any(type(part) is Token and part.type == "ELLIPSIS" for part in parts)
        key_name, value_name = for_names(intro.names)
        key = made[0] if len(made) == 2 else None
        return For(
            self.source, parts[0].start, parts[-1].end,
            key_name, value_name, intro.collection, key, made[-1], condition, grouping,
        )  # fmt: skip

    # Templates

    def _string(self, parts: list[Any]) -> Expr:
        return self._templates.quoted(parts[0].start, parts[-1].end, parts[1:-1])

    def _heredoc_template(self, parts: list[Any]) -> Expr:
        indented = parts[0].text.startswith("<<-")
        return self._templates.heredoc(parts[0].start, parts[-1].end, parts[1:-1], indented=indented)

    def _lone_template(self, parts: list[Any]) -> Expr:
        return self._templates.bare(0, len(self.source.text), parts)

    def _interpolation(self, parts: list[Any]) -> Sequence_:
        return self._sequence("interpolation", parts)

    def _template_if_start(self, parts: list[Any]) -> Sequence_:
        return self._sequence("if", parts)

    def _template_else(self, parts: list[Any]) -> Sequence_:
        return self._sequence("else", parts)

    def _template_endif(self, parts: list[Any]) -> Sequence_:
        return self._sequence("endif", parts)

    def _template_for_start(self, parts: list[Any]) -> Sequence_:
        return self._sequence("for", parts)

    def _template_endfor(self, parts: list[Any]) -> Sequence_:
        return self._sequence("endfor", parts)

    def _sequence(self, kind: str, parts: list[Any]) -> Sequence_:
        def strips(part: Any) -> bool:
            return type(part) is Token and part.type == "STRIP_MARKER"

        expr = next((part for part in parts if isinstance(part, Expr)), None)
        names = tuple(part.text for part in parts if type(part) is Token and part.type == "NAME")
        return Sequence_(kind, parts[0].start, parts[-1].end, strips(parts[1]), strips(parts[-2]), expr, names)


_RULES = frozenset(
    [
        "body",
        "attribute",
        "block",
        "expr_term",
        "object",
        "object_elem",
        "function_call",
        "arguments",
        "binary_op",
        "unary_op",
        "conditional",
        "get_attr",
        "short_index",
        "braces_index",
        "attr_splat",
        "full_splat",
        "index_expr_term",
        "get_attr_expr_term",
        "attr_splat_expr_term",
        "full_splat_expr_term",
        "for_intro",
        "for_cond",
        "for_tuple_expr",
        "for_object_expr",
        "string",
        "heredoc_template",
        "lone_template",
        "interpolation",
        "template_if_start",
        "template_else",
        "template_endif",
        "template_for_start",
        "template_endfor",
    ]
)
