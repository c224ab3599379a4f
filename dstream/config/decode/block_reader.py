"""BlockReader: reads the known arguments and blocks of a body, and reports all others."""

from __future__ import annotations

from collections.abc import Iterable

from dstream.addresses import parse_address
from dstream.config.blocks import Condition
from dstream.config.syntax.tree import (
    Attribute,
    Block,
    Body,
    Expr,
    GetAttr,
    Index,
    Literal,
    ObjectExpr,
    Parentheses,
    SplatItem,
    TupleExpr,
    Variable,
)
from dstream.diagnostics import Diagnostic, error


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the closest name, or an empty string."""
    import difflib

    found = difflib.get_close_matches(name, list(names), 1, 0.6)
    return f' Did you mean "{found[0]}"?' if found else ""


_EXAMPLES = {
    "id": 'id = "IDENTITY", the identity of the existing object',
    "to": "to = TYPE.NAME",
    "from": "from = TYPE.NAME",
    "value": "value = EXPRESSION",
    "condition": "condition = EXPRESSION",
    "error_message": 'error_message = "TEXT"',
}
"""Required arguments as they are written."""
_INSTANCE_KEYS = (("each", "key"), ("count", "index"))


def is_reference(expr: Expr, *, instance_keys: bool = False) -> bool:
    """Return whether an expression is a static reference: names, and literal indexes.

    With `instance_keys`, an index may also be `each.key` or `count.index`.
    """
    while isinstance(expr, GetAttr | Index):
        if isinstance(expr, Index) and not _is_static_key(expr.key, instance_keys=instance_keys):
            return False
        expr = expr.value
    return isinstance(expr, Variable | SplatItem)


def _is_static_key(expr: Expr, *, instance_keys: bool) -> bool:
    return isinstance(expr, Literal) or (instance_keys and _is_instance_key(expr))


def _is_instance_key(expr: Expr) -> bool:
    root = expr.value if isinstance(expr, GetAttr) else None
    return isinstance(expr, GetAttr) and isinstance(root, Variable) and (root.name, expr.name) in _INSTANCE_KEYS


class BlockReader:
    """Reads one block's body; `finish` reports what was not read."""

    def __init__(self, what: str, block: Block, diagnostics: list[Diagnostic]) -> None:
        """Use `what` as the name of the block in messages, such as `task "copy"`."""
        self.what = what
        self.block = block
        self.body: Body = block.body
        self.diagnostics = diagnostics
        self._arguments: list[str] = []
        self._blocks: list[str] = []

    def report(self, summary: str, detail: str, node: Block | Attribute | Expr) -> None:
        """Add an error at a node: a block's header, an argument's name, an expression."""
        place = (
            node.header_range
            if isinstance(node, Block)
            else node.name_range
            if isinstance(node, Attribute)
            else node.range
        )
        self.diagnostics.append(error(summary, detail, place))

    def optional(self, name: str) -> Expr | None:
        """Return an argument's expression, None if it is missing."""
        self._arguments.append(name)
        attribute = self.body.attributes.get(name)
        return attribute.expr if attribute is not None else None

    def required(self, name: str) -> Expr | None:
        """Return an argument's expression; report it if it is missing."""
        expr = self.optional(name)
        if expr is None:
            hint = f" Add: {_EXAMPLES[name]}." if name in _EXAMPLES else ""
            self.report("Missing argument", f'{self.what} needs the argument "{name}".{hint}', self.block)
        return expr

    def text(self, name: str) -> str | None:
        """Return an argument that is a literal string."""
        expr = self.optional(name)
        if expr is None:
            return None
        if isinstance(expr, Literal) and isinstance(expr.value, str):
            return expr.value
        self.report(
            "Plain text expected",
            f'"{name}" is read before expressions are evaluated, so it must be a literal string.',
            expr,
        )
        return None

    def flag(self, name: str, default: bool) -> bool:
        """Return an argument that is a literal boolean."""
        expr = self.optional(name)
        if expr is None:
            return default
        if isinstance(expr, Literal) and (isinstance(expr.value, bool) or expr.value in ("true", "false")):
            return expr.value in (True, "true")
        self.report(
            "true or false expected",
            f'"{name}" is read before expressions are evaluated, so it must be true or false.',
            expr,
        )
        return default

    def references(self, name: str, *, instance_keys: bool = False) -> tuple[Expr, ...]:
        """Return an argument that is a list of references; see `is_reference`."""
        expr = self.optional(name)
        if expr is None:
            return ()
        if not isinstance(expr, TupleExpr):
            example = _unquoted(expr) or "TYPE.NAME, task.NAME"
            self.report("List of references expected", f'"{name}" takes a list: {name} = [{example}].', expr)
            return ()
        found = []
        for item in expr.items:
            if is_reference(item, instance_keys=instance_keys) and not isinstance(item, Variable):
                found.append(item)
            else:
                example = f": {name} = [{found_name}]." if (found_name := _unquoted(item)) else "."
                detail = (
                    f'"{name}" lists references such as postgres_publication.orders or task.copy, without quotation '
                    f"marks{example}"
                )
                self.report("Reference expected", detail, item)
        return tuple(found)

    def blocks(self, type_: str) -> list[Block]:
        """Return the nested blocks of a type."""
        self._blocks.append(type_)
        return [block for block in self.body.blocks if block.type == type_]

    def block_of(self, type_: str) -> Block | None:
        """Return the only nested block of a type; report a second one."""
        found = self.blocks(type_)
        for extra in found[1:]:
            line = found[0].range.start.line
            detail = f'{self.what} has a "{type_}" block on line {line} already, and takes only one.'
            self.report("Block given twice", detail, extra)
        return found[0] if found else None

    def conditions(self, type_: str) -> tuple[Condition, ...]:
        """Return nested blocks with `condition` and `error_message`."""
        found = []
        for block in self.blocks(type_):
            reader = BlockReader(f'the "{type_}" block', block, self.diagnostics)
            condition, message = reader.required("condition"), reader.required("error_message")
            reader.finish()
            if condition is not None and message is not None:
                found.append(Condition(condition, message, block.header_range))
        return tuple(found)

    def settings(self, name: str) -> Body:
        """Return `name { ... }` or `name = { ... }`; an empty body if there is neither."""
        attribute, block = self.body.attributes.get(name), self.block_of(name)
        self._arguments.append(name)
        if attribute is not None and block is not None:
            detail = f"{self.what} has both {name} = ... and {name} {{ ... }}. They mean the same; remove one of them."
            self.report("Block given twice", detail, block)
        if block is not None:
            for label in block.label_nodes:
                self.report("Unexpected label", f'"{name}" takes no label.', block)
                del label
                break
            return block.body
        if attribute is not None:
            return _object_body(attribute.expr)
        at = self.block.header_end
        return Body(self.block.source, at, at, {}, [])

    def finish(self) -> None:
        """Report arguments and blocks that were not read."""
        for name, attribute in self.body.attributes.items():
            if name in self._arguments:
                continue
            if name in self._blocks:
                detail = f'"{name}" is a block here, not an argument: remove the =, and write {_as_block(attribute)}.'
                self.report("Block expected", detail, attribute)
                continue
            hint = nearest(name, [*self._arguments, *self._blocks])
            hint = hint or self._elsewhere(attribute.text)
            detail = f'{self.what} has no argument "{name}".{hint}{self._known(self._arguments)}'
            self.report("Unknown argument", detail, attribute)
        for block in self.body.blocks:
            if block.type in self._blocks:
                continue
            if block.type in self._arguments:
                detail = f'"{block.type}" is an argument here, not a block: write {block.type} = ...'
                self.report("Argument expected", detail, block)
                continue
            hint = nearest(block.type, [*self._blocks, *self._arguments])
            hint = hint or self._elsewhere(f"{block.type} {{ ... }}")
            detail = f'{self.what} has no block "{block.type}".{hint}{self._known(self._blocks)}'
            self.report("Unknown block", detail, block)

    def _elsewhere(self, text: str) -> str:
        """Return the hint for a setting of a provider that is outside of its config."""
        shown = " ".join(text.split())
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        if "config" in self._blocks:
            there = next((block for block in self.body.blocks if block.type == "config"), None)
            if there is None:
                return f" Settings of the provider belong in its config block: config {{ {shown} }}."
            return f" Move settings of the provider into the config block on line {there.range.start.line}: {shown}."
        if {"input", "output"} <= {*self._blocks}:
            return f" Settings of a provider belong in the config block of the input or output: config {{ {shown} }}."
        return ""

    def _known(self, names: list[str]) -> str:
        return f" It takes: {', '.join(sorted(set(names)))}." if names else ""


def _as_block(attribute: Attribute) -> str:
    """Return what was written as an argument, as a block."""
    name, expr = attribute.name, attribute.expr
    if isinstance(expr, Literal) and isinstance(expr.value, str):
        if name == "backend":
            return f'backend "{expr.value}" {{ ... }}'
        if name in ("input", "output"):
            return f'{name} {{ provider = "{expr.value}" }}'
    return f"{name} {{ ... }}"


def _unquoted(expr: Expr) -> str:
    """Return the address that an expression is, in quotation marks or not; an empty string for anything else."""
    text = expr.value if isinstance(expr, Literal) and isinstance(expr.value, str) else expr.text
    try:
        return str(parse_address(text))
    except ValueError:
        return ""


def _object_body(expr: Expr) -> Body:
    """Return `{ ... }` after an equals sign as a body."""
    inner = expr
    while isinstance(inner, Parentheses):
        inner = inner.value
    if isinstance(inner, ObjectExpr):
        attributes: dict[str, Attribute] = {}
        for key, value in inner.items:
            if not (isinstance(key, Literal) and isinstance(key.value, str)):
                break
            attributes[key.value] = Attribute(expr.source, key.start, value.end, key.value, value, key.end)
        else:
            return Body(expr.source, expr.start, expr.end, attributes, [])
    return Body(expr.source, expr.start, expr.end, {}, [], expr)
