"""A configuration of `terraform_data` blocks, and its HCL, which OpenTofu and dstream read alike."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

TYPE = "terraform_data"
Attribute = Literal["output", "input", "id"]


def hcl(value: object) -> str:
    """Return a JSON value as an HCL expression."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {hcl(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(hcl, value)) + "]"
    return json.dumps(value)


@dataclass(frozen=True)
class Literally:
    """A constant."""

    value: object


@dataclass(frozen=True)
class Own:
    """A value that differs between the instances of a block: `PREFIX-KEY`."""

    prefix: str


@dataclass(frozen=True)
class From:
    """An attribute of another block: of its only object, or a list over its instances."""

    block: str
    attribute: Attribute


Value = Literally | Own | From


@dataclass
class Block:
    """One resource block."""

    name: str
    count: int | None = None
    keys: tuple[str, ...] | None = None
    """The keys of `for_each`; None without it."""
    input: Value | None = None
    triggers: Value | None = None
    depends_on: tuple[str, ...] = ()
    create_before_destroy: bool = False
    prevent_destroy: bool = False
    ignore: tuple[str, ...] | Literal["all"] = ()
    triggered_by: tuple[tuple[str, str], ...] = ()
    """Pairs of a block and what follows its name, such as `.input` or `[0]`."""
    refused: object = None
    """The postcondition requires that `output` differs from this value; None without a postcondition."""
    expected: tuple[str, object] | None = None
    """The precondition requires that the output of another block differs from a value."""

    @property
    def instances(self) -> list[str]:
        """The addresses of its objects."""
        address = f"{TYPE}.{self.name}"
        if self.count is not None:
            return [f"{address}[{index}]" for index in range(self.count)]
        if self.keys is not None:
            return [f'{address}["{key}"]' for key in self.keys]
        return [address]

    @property
    def needs(self) -> set[str]:
        """The blocks that it refers to."""
        return self.needs_entirely | {name for name, _ in self.triggered_by}

    @property
    def needs_entirely(self) -> set[str]:
        """The blocks that it refers to as a whole: OpenTofu waits only for the instance that a trigger names."""
        return self.needs_recorded | {name for name, rest in self.triggered_by if not rest.startswith("[")}

    @property
    def needs_recorded(self) -> set[str]:
        """The blocks that OpenTofu deletes after it: a trigger gives no order to deletions."""
        found = set(self.depends_on)
        found |= {value.block for value in (self.input, self.triggers) if isinstance(value, From)}
        return found | ({self.expected[0]} if self.expected else set())

    def forget(self, name: str) -> None:
        """Remove all references to a block."""
        if isinstance(self.input, From) and self.input.block == name:
            self.input = Literally(f"without {name}")
        if isinstance(self.triggers, From) and self.triggers.block == name:
            self.triggers = None
        self.depends_on = tuple(each for each in self.depends_on if each != name)
        self.triggered_by = tuple(each for each in self.triggered_by if each[0] != name)
        if self.expected and self.expected[0] == name:
            self.expected = None


@dataclass
class Configuration:
    """The blocks by name, in an order in which each refers only to earlier ones, and the blocks beside them."""

    blocks: dict[str, Block] = field(default_factory=dict)
    moved: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, bool]] = field(default_factory=list)
    """Names of blocks, and whether their objects are destroyed."""
    imports: list[tuple[str, str]] = field(default_factory=list)
    """Addresses and ids."""
    outputs: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of a name and a block whose output it has."""

    def text(self) -> str:
        """Return the HCL."""
        parts = [self._block(block) for block in self.blocks.values()]
        parts += [f"moved {{\n  from = {old}\n  to   = {new}\n}}\n" for old, new in self.moved]
        parts += [
            f"removed {{\n  from = {TYPE}.{name}\n  lifecycle {{\n    destroy = {json.dumps(destroy)}\n  }}\n}}\n"
            for name, destroy in self.removed
        ]
        parts += [f'import {{\n  to = {address}\n  id = "{id_}"\n}}\n' for address, id_ in self.imports]
        parts += [
            f'output "{name}" {{\n  value = {self._reference(From(block, "output"))}\n}}\n'
            for name, block in self.outputs
        ]
        return "\n".join(parts)

    def _block(self, block: Block) -> str:
        lines = []
        if block.count is not None:
            lines.append(f"count = {block.count}")
        if block.keys is not None:
            lines.append(f"for_each = toset({hcl(list(block.keys))})")
        if block.input is not None:
            lines.append(f"input = {self._value(block.input, block)}")
        if block.triggers is not None:
            lines.append(f"triggers_replace = {self._value(block.triggers, block)}")
        if block.depends_on:
            lines.append("depends_on = [" + ", ".join(f"{TYPE}.{name}" for name in block.depends_on) + "]")
        lines += self._lifecycle(block)
        return f'resource "{TYPE}" "{block.name}" {{\n' + "".join(f"  {line}\n" for line in lines) + "}\n"

    def _lifecycle(self, block: Block) -> list[str]:
        lines = []
        if block.create_before_destroy:
            lines.append("create_before_destroy = true")
        if block.prevent_destroy:
            lines.append("prevent_destroy = true")
        if block.ignore:
            lines.append("ignore_changes = " + ("all" if block.ignore == "all" else f"[{', '.join(block.ignore)}]"))
        if block.triggered_by:
            listed = ", ".join(f"{TYPE}.{name}{rest}" for name, rest in block.triggered_by)
            lines.append(f"replace_triggered_by = [{listed}]")
        for kind, subject, value in (
            ("precondition", self._reference(From(block.expected[0], "output")), block.expected[1])
            if block.expected
            else ("", "", None),
            ("postcondition", "self.output", block.refused) if block.refused is not None else ("", "", None),
        ):
            if kind:
                condition = f"jsonencode({subject}) != jsonencode({hcl(value)})"
                lines += [f"{kind} {{", f"  condition     = {condition}", '  error_message = "Refused."', "}"]
        return ["lifecycle {", *(f"  {line}" for line in lines), "}"] if lines else []

    def _value(self, value: Value, block: Block) -> str:
        if isinstance(value, Literally):
            return hcl(value.value)
        if isinstance(value, From):
            return self._reference(value)
        if block.count is not None:
            return f'"{value.prefix}-${{count.index}}"'
        if block.keys is not None:
            return f'"{value.prefix}-${{each.key}}"'
        return f'"{value.prefix}"'

    def _reference(self, value: From) -> str:
        target = self.blocks[value.block]
        address = f"{TYPE}.{target.name}"
        if target.count is not None:
            return f"{address}[*].{value.attribute}"
        if target.keys is not None:
            return f"[for each in {address} : each.{value.attribute}]"
        return f"{address}.{value.attribute}"
