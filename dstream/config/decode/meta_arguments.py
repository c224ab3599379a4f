"""Meta-arguments that several blocks have: launch of a provider, repetition, lifecycle, timeouts, addresses."""

from __future__ import annotations

from typing import Any

from dstream.addresses import Address, parse_address
from dstream.config.blocks import Launch, LaunchKind, Lifecycle, TimeoutsBlock
from dstream.config.decode.block_reader import BlockReader
from dstream.config.syntax.tree import Expr, GetAttr, Index, Literal, TupleExpr, Variable
from dstream_state import TIMED

_LAUNCHES: dict[str, LaunchKind] = {
    "provider_path": "path", "provider": "name", "provider_ref": "ref", "provider_image": "image",
}  # fmt: skip


def launch(reader: BlockReader) -> Launch:
    """Return how a provider is started; `kind` is None if it is not given."""
    given = [(name, expr) for name in _LAUNCHES if (expr := reader.optional(name)) is not None]
    env = reader.optional("env")
    container = reader.block_of("container")
    for name, expr in given[1:]:
        detail = f"{reader.what} has both {given[0][0]} and {name}. A provider has one source; remove one of them."
        reader.report("More than one provider", detail, expr)
    if not given:
        return Launch(None, None, env, reader.block.header_range)
    name, source = given[0]
    if container is not None and name != "provider_image":
        detail = (
            f"A container block applies to providers in an image, and {reader.what} has {name}. Remove one of them."
        )
        reader.report("Container without an image", detail, container)
    return Launch(_LAUNCHES[name], source, env, source.range, container.body if container is not None else None)


def repetition(reader: BlockReader) -> tuple[Expr | None, Expr | None]:
    """Return `for_each` and `count`; report a block that has both."""
    for_each, count = reader.optional("for_each"), reader.optional("count")
    if for_each is not None and count is not None:
        reader.report(
            "for_each and count together", f"{reader.what} has both for_each and count; remove one of them.", count
        )
    return for_each, count


def provider_name(reader: BlockReader) -> str | None:
    """Return the name of the provider block in a resource's `provider` argument, None without one."""
    expr = reader.optional("provider")
    if expr is None:
        return None
    if isinstance(expr, Literal) and isinstance(expr.value, str):
        return expr.value
    if isinstance(expr, Variable):
        return expr.name
    if isinstance(expr, GetAttr) and isinstance(expr.value, Variable) and expr.value.name == "provider":
        return expr.name
    reader.report("Invalid provider", 'Name a provider block: provider = "NAME".', expr)
    return None


def lifecycle(reader: BlockReader) -> Lifecycle:
    """Return the meta-argument `lifecycle`."""
    block = reader.block_of("lifecycle")
    if block is None:
        return Lifecycle()
    inner = BlockReader("the lifecycle block", block, reader.diagnostics)
    lifecycle = Lifecycle(
        inner.flag("prevent_destroy", False),
        _ignored(inner),
        inner.flag("create_before_destroy", False),
        inner.references("replace_triggered_by", instance_keys=True),
        inner.conditions("precondition"),
        inner.conditions("postcondition"),
    )
    inner.finish()
    return lifecycle


def timeouts(reader: BlockReader) -> TimeoutsBlock | None:
    """Return the meta-argument `timeouts`, None if it is missing."""
    block = reader.block_of("timeouts")
    if block is None:
        return None
    if block.labels:
        reader.report("Unexpected label", "A timeouts block takes no label: timeouts { ... }.", block)
    inner = BlockReader(f"the timeouts block of {reader.what}", block, reader.diagnostics)
    given = {name: expr for name in TIMED if (expr := inner.optional(name)) is not None}
    inner.finish()
    return TimeoutsBlock(given, block.header_range)


def _ignored(reader: BlockReader) -> Any:
    expr = reader.optional("ignore_changes")
    if expr is None:
        return []
    if isinstance(expr, Variable) and expr.name == "all":
        return "all"
    if isinstance(expr, TupleExpr):
        names = [_attribute_path(item) for item in expr.items]
        if None not in names:
            return names
    reader.report(
        "Invalid ignore_changes",
        "ignore_changes is a list of attributes, such as [name, tags], or the keyword all.",
        expr,
    )
    return []


def address(reader: BlockReader, name: str) -> Address | None:
    """Return an argument that is an address."""
    expr = reader.required(name)
    if expr is None:
        return None
    try:
        return parse_address("".join(expr.text.split()) if '"' not in expr.text else expr.text)
    except ValueError as problem:
        detail = f"{problem}."
        if isinstance(expr, Literal) and isinstance(expr.value, str):
            detail = f"An address has no quotation marks around it. Write {name} = {expr.value}."
        reader.report("Invalid address", detail, expr)
        return None


def _attribute_path(expr: Expr) -> str | None:
    if isinstance(expr, Variable):
        return expr.name
    if isinstance(expr, Literal) and isinstance(expr.value, str):
        return expr.value
    if isinstance(expr, GetAttr | Index) and _attribute_path(expr.value) is not None:
        return expr.text
    return None
