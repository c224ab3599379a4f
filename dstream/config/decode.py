"""Decoder: the syntax trees of all files -> one Config, with everything that is wrong reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dstream.addresses import Address, parse_address
from dstream.config.blocks import (
    BackendBlock,
    CheckBlock,
    Condition,
    Config,
    DstreamBlock,
    ImportBlock,
    Launch,
    LaunchKind,
    Lifecycle,
    MovedBlock,
    OutputBlock,
    ProviderBlock,
    RemovedBlock,
    RequiredProvider,
    ResourceBlock,
    SideBlock,
    TaskBlock,
    VariableBlock,
)
from dstream.config.parser import Parsed
from dstream.config.reading import BlockReader, nearest
from dstream.config.syntax import Block, Body, Expr, GetAttr, Index, Literal, ObjectExpr, TupleExpr, Variable
from dstream.diagnostics import Diagnostic, SourceRange, error

RESERVED_NAMES = frozenset(
    [
        "local",
        "locals",
        "var",
        "each",
        "count",
        "self",
        "path",
        "dstream",
        "task",
        "true",
        "false",
        "null",
        "for",
        "in",
        "if",
    ]
)
"""Names that no local may have: they start references or are words of the language."""

_LABELS: dict[str, tuple[str, ...]] = {
    "dstream": (), "provider": ("NAME",), "variable": ("NAME",), "locals": (), "resource": ("TYPE", "NAME"),
    "task": ("NAME",), "output": ("NAME",), "moved": (), "import": (), "removed": (), "check": ("NAME",),
}  # fmt: skip
_LAUNCHES: dict[str, LaunchKind] = {
    "provider_path": "path", "provider": "name", "provider_ref": "ref", "provider_image": "image",
}  # fmt: skip
_MIGRATION = "docs/migration.md"
_TYPE_ROOTS = frozenset(["local", "var", "each", "count", "self", "path", "dstream", "task", "output", "provider"])


class Decoder:
    """Adds the blocks of one file after another to a configuration."""

    def __init__(self, root: Path) -> None:
        """Start an empty configuration whose folder is `root`."""
        self.config = Config(root, {})
        self.diagnostics: list[Diagnostic] = []
        self._settings: DstreamBlock | None = None
        self._ranges: dict[tuple[str, ...], SourceRange] = {}

    def add(self, parsed: Parsed) -> None:
        """Add one file's blocks."""
        self.config.sources[parsed.source.filename] = parsed.source.text
        self.diagnostics.extend(parsed.diagnostics)
        for attribute in parsed.body.attributes.values():
            detail = (
                f'"{attribute.name}" stands outside of every block. The top level has blocks only: '
                f"{', '.join(_LABELS)}. A value with a name goes into locals {{ ... }}."
            )
            self.diagnostics.append(error("Argument outside of a block", detail, attribute.name_range))
        first_locals: Block | None = None
        for block in parsed.body.blocks:
            if block.type == "locals":
                if first_locals is not None:
                    detail = (
                        f"This file has a locals block on line {first_locals.range.start.line} already. Put all locals "
                        "of a file into one block, so that readers find them in one place."
                    )
                    self.diagnostics.append(error("More than one locals block", detail, block.header_range))
                else:
                    first_locals = block
            self._block(block)

    def finish(self) -> Config:
        """Return the configuration."""
        return replace(self.config, settings=self._settings)

    def _block(self, block: Block) -> None:
        wanted = _LABELS.get(block.type)
        if wanted is None:
            hint = nearest(block.type, _LABELS)
            detail = f'There is no block "{block.type}" at the top level.{hint} There are: {", ".join(_LABELS)}.'
            self.diagnostics.append(error("Unknown block", detail, block.header_range))
            return
        if len(block.labels) != len(wanted):
            shape = " ".join([block.type, *(f'"{label}"' for label in wanted)])
            detail = f"A {block.type} block is written {shape} {{ ... }}; this one has {_count(len(block.labels))}."
            self.diagnostics.append(error("Wrong number of labels", detail, block.header_range))
            return
        if not self._labels_fine(block):
            return
        decode: Callable[[Block], None] = getattr(self, f"_{block.type}")
        decode(block)

    def _labels_fine(self, block: Block) -> bool:
        fine = True
        for node in block.label_nodes:
            text = node.value
            if not text or not (text[0].isalpha() or text[0] == "_") or not text.replace("-", "_").isidentifier():
                detail = (
                    f'"{text}" cannot be a name: names have letters, digits, _ and -, and start with a letter or _.'
                )
                self.diagnostics.append(error("Invalid name", detail, node.range))
                fine = False
        return fine

    def _declare(self, block: Block, *key: str) -> bool:
        """Tell whether a name is new; report it otherwise."""
        first = self._ranges.get(key)
        if first is not None:
            shown = " ".join([key[0], *(f'"{part}"' for part in key[1:])])
            detail = f"{shown} is declared at {first} already. Give one of them another name."
            self.diagnostics.append(error("Declared twice", detail, block.header_range))
            return False
        self._ranges[key] = block.header_range
        return True

    # Blocks at the top level

    def _dstream(self, block: Block) -> None:
        if not self._declare(block, "dstream"):
            return
        reader = BlockReader("the dstream block", block, self.diagnostics)
        version = reader.text("required_version")
        required = reader.block_of("required_providers")
        backend = reader.block_of("backend")
        encryption = reader.block_of("encryption")
        reader.finish()
        found: BackendBlock | None = None
        if backend is not None:
            if len(backend.labels) == 1:
                found = BackendBlock(backend.labels[0], backend.body, backend.header_range)
            else:
                reader.report("Wrong number of labels", 'A backend is written backend "TYPE" { ... }.', backend)
        self._settings = DstreamBlock(
            version,
            self._required_providers(required) if required is not None else {},
            found,
            encryption.body if encryption is not None else None,
            block.header_range,
        )

    def _required_providers(self, block: Block) -> dict[str, RequiredProvider]:
        found: dict[str, RequiredProvider] = {}
        for name, attribute in block.body.attributes.items():
            texts: dict[str, str] = {}
            expr = attribute.expr
            if isinstance(expr, Literal) and isinstance(expr.value, str):
                texts["source"] = expr.value
            elif isinstance(expr, ObjectExpr):
                for key, value in expr.items:
                    if isinstance(key, Literal) and isinstance(value, Literal) and isinstance(value.value, str):
                        texts[str(key.value)] = value.value
            if "source" in texts and texts.keys() <= {"source", "version"}:
                found[name] = RequiredProvider(name, texts["source"], texts.get("version"), attribute.name_range)
                continue
            detail = f'A required provider is written {name} = {{ source = "REGISTRY/NAME", version = "1.2.0" }}.'
            self.diagnostics.append(error("Invalid required provider", detail, attribute.name_range))
        for inner in block.body.blocks:
            detail = f"required_providers holds arguments: {inner.type} = {{ ... }}, with an equals sign."
            self.diagnostics.append(error("Argument expected", detail, inner.header_range))
        return found

    def _provider(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "provider", name):
            return
        reader = BlockReader(f'provider "{name}"', block, self.diagnostics)
        launch = self._launch(reader)
        config = reader.settings("config")
        reader.finish()
        self.config.providers[name] = ProviderBlock(name, launch, config, block.header_range)

    def _variable(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "variable", name):
            return
        reader = BlockReader(f'variable "{name}"', block, self.diagnostics)
        self.config.variables[name] = VariableBlock(
            name,
            reader.optional("type"),
            reader.optional("default"),
            reader.text("description"),
            reader.flag("sensitive", False),
            reader.flag("nullable", True),
            reader.conditions("validation"),
            block.header_range,
        )
        reader.flag("ephemeral", False)
        reader.finish()

    def _locals(self, block: Block) -> None:
        for inner in block.body.blocks:
            detail = (
                f"locals holds values with names, and no blocks. If {inner.type} is a value, write it with an equals "
                f"sign: {inner.type} = {{ ... }}."
            )
            self.diagnostics.append(error("Block in locals", detail, inner.header_range))
        for name, attribute in block.body.attributes.items():
            if name in RESERVED_NAMES:
                detail = (
                    f'A local cannot be called "{name}", which has a meaning of its own. '
                    f"Reserved are: {', '.join(sorted(RESERVED_NAMES))}."
                )
                self.diagnostics.append(error("Reserved name", detail, attribute.name_range))
            elif name in self.config.locals:
                first = self.config.locals[name].name_range
                if first.filename != attribute.name_range.filename:
                    detail = (
                        f"local.{name} is set at {first} already. Each local has one place; take one of the two out."
                    )
                    self.diagnostics.append(error("Local set twice", detail, attribute.name_range))
                else:
                    detail = f"local.{name} is set on line {first.start.line} already. Take one of the two out."
                    self.diagnostics.append(error("Local set twice", detail, attribute.name_range))
            else:
                self.config.locals[name] = attribute

    def _resource(self, block: Block) -> None:
        type_, name = block.labels
        if type_ in _TYPE_ROOTS:
            detail = f'"{type_}" cannot be the type of a resource: {type_}.{name} means something else in expressions.'
            self.diagnostics.append(error("Reserved name", detail, block.label_nodes[0].range))
            return
        if not self._declare(block, "resource", type_, name):
            return
        reader = BlockReader(f'resource "{type_}" "{name}"', block, self.diagnostics)
        for_each, count = self._repetition(reader)
        self.config.resources[type_, name] = ResourceBlock(
            type_,
            name,
            block.body.without(frozenset(("for_each", "count", "depends_on", "provider")), frozenset(("lifecycle",))),
            for_each,
            count,
            reader.references("depends_on"),
            self._provider_name(reader),
            self._lifecycle(reader),
            block.header_range,
        )

    def _task(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "task", name):
            return
        reader = BlockReader(f'task "{name}"', block, self.diagnostics)
        self._task_type(reader)
        for_each, count = self._repetition(reader)
        inputs = self._sides(reader, "input")
        outputs = self._sides(reader, "output")
        depends_on = reader.references("depends_on")
        lifecycle = self._lifecycle(reader)
        reader.finish()
        for wanted, found in (("input", inputs), ("output", outputs)):
            if not found:
                detail = f'task "{name}" needs an {wanted} block, which says which provider the data '
                detail += "comes from." if wanted == "input" else "goes to."
                self.diagnostics.append(error(f"Missing {wanted}", detail, block.header_range))
        if len(inputs) > 1:
            detail = f'task "{name}" has {len(inputs)} inputs; it takes one. Make a task for each.'
            self.diagnostics.append(error("More than one input", detail, inputs[1].range))
        if not inputs or not outputs:
            return
        self.config.tasks[name] = TaskBlock(
            name, "providers", inputs[0], tuple(outputs), for_each, count, depends_on, lifecycle, block.header_range
        )

    def _task_type(self, reader: BlockReader) -> None:
        expr = reader.optional("type")
        if expr is None or (isinstance(expr, Literal) and expr.value in ("", "providers")):
            return
        if isinstance(expr, Literal) and expr.value == "plugin":
            detail = (
                'Tasks of type "plugin" belong to earlier versions. Write an input and an output block, each with '
                f"its provider, and leave the type out; {_MIGRATION} shows how."
            )
            reader.report("Plugin tasks are no more", detail, expr)
            return
        reader.report("Invalid task type", 'The type of a task is "providers", or is left out.', expr)

    def _sides(self, task: BlockReader, role: str) -> list[SideBlock]:
        sides: list[SideBlock] = []
        blocks = task.blocks(role)
        labels: set[str | None] = set()
        for block in blocks:
            label = block.labels[0] if block.labels else None
            if len(block.labels) > (1 if role == "output" else 0):
                detail = f"An {role} block of a task takes {'one label at most' if role == 'output' else 'no label'}."
                self.diagnostics.append(error("Wrong number of labels", detail, block.header_range))
            if role == "output" and len(blocks) > 1 and (label is None or label in labels):
                detail = (
                    "A task with several outputs tells them apart by labels, each used once: "
                    'output "audit" { ... }, output "main" { ... }.'
                )
                self.diagnostics.append(error("Output needs a label", detail, block.header_range))
            labels.add(label)
            what = f'the {role} "{label}" of {task.what}' if label else f"the {role} of {task.what}"
            reader = BlockReader(what, block, self.diagnostics)
            launch = self._launch(reader)
            if launch.kind is None:
                detail = (
                    f"{what} does not say which provider it uses. Set one of provider_path (a program), provider "
                    "(a name), provider_ref or provider_image."
                )
                self.diagnostics.append(error("Missing provider", detail, block.header_range))
            config = reader.settings("config")
            reader.finish()
            sides.append(SideBlock(label, launch, config, block.header_range))
        return sides

    def _output(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "output", name):
            return
        reader = BlockReader(f'output "{name}"', block, self.diagnostics)
        value = reader.required("value")
        sensitive = reader.optional("sensitive")
        description = reader.text("description")
        depends_on = reader.references("depends_on")
        preconditions = reader.conditions("precondition")
        reader.finish()
        if value is not None:
            self.config.outputs[name] = OutputBlock(
                name, value, sensitive, description, depends_on, block.header_range, preconditions
            )

    def _moved(self, block: Block) -> None:
        reader = BlockReader("the moved block", block, self.diagnostics)
        from_, to = self._address(reader, "from"), self._address(reader, "to")
        reader.finish()
        if from_ is not None and to is not None:
            self.config.moved.append(MovedBlock(from_, to, block.header_range))

    def _removed(self, block: Block) -> None:
        reader = BlockReader("the removed block", block, self.diagnostics)
        from_ = self._address(reader, "from")
        destroy = True
        lifecycle = reader.block_of("lifecycle")
        if lifecycle is not None:
            inner = BlockReader("the lifecycle block", lifecycle, self.diagnostics)
            destroy = inner.flag("destroy", True)
            inner.finish()
        reader.finish()
        if from_ is not None:
            self.config.removed.append(RemovedBlock(from_, destroy, block.header_range))

    def _import(self, block: Block) -> None:
        reader = BlockReader("the import block", block, self.diagnostics)
        to, id_, for_each = reader.required("to"), reader.required("id"), reader.optional("for_each")
        reader.finish()
        if to is not None and id_ is not None:
            self.config.imports.append(ImportBlock(to, id_, for_each, block.header_range))

    def _check(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "check", name):
            return
        reader = BlockReader(f'check "{name}"', block, self.diagnostics)
        asserts = reader.conditions("assert")
        reader.finish()
        if not asserts:
            detail = f'check "{name}" needs an assert block with condition and error_message.'
            self.diagnostics.append(error("Missing assert", detail, block.header_range))
        self.config.checks.append(CheckBlock(name, asserts, block.header_range))

    # Parts of blocks

    def _launch(self, reader: BlockReader) -> Launch:
        given = [(name, expr) for name in _LAUNCHES if (expr := reader.optional(name)) is not None]
        env = reader.optional("env")
        for name, expr in given[1:]:
            detail = f"{reader.what} has both {given[0][0]} and {name}. A provider comes from one place; keep one."
            reader.report("More than one provider", detail, expr)
        if not given:
            return Launch(None, None, env, reader.block.header_range)
        name, source = given[0]
        return Launch(_LAUNCHES[name], source, env, source.range)

    def _repetition(self, reader: BlockReader) -> tuple[Expr | None, Expr | None]:
        for_each, count = reader.optional("for_each"), reader.optional("count")
        if for_each is not None and count is not None:
            reader.report("for_each and count together", f"{reader.what} has both for_each and count; keep one.", count)
        return for_each, count

    def _provider_name(self, reader: BlockReader) -> str | None:
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

    def _lifecycle(self, reader: BlockReader) -> Lifecycle:
        block = reader.block_of("lifecycle")
        if block is None:
            return Lifecycle()
        inner = BlockReader("the lifecycle block", block, self.diagnostics)
        lifecycle = Lifecycle(
            inner.flag("prevent_destroy", False),
            self._ignored(inner),
            inner.flag("create_before_destroy", False),
            inner.references("replace_triggered_by"),
            inner.conditions("precondition"),
            inner.conditions("postcondition"),
        )
        inner.finish()
        return lifecycle

    def _ignored(self, reader: BlockReader) -> Any:
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
            "Invalid ignore_changes", "ignore_changes lists attributes, as [name, tags], or is the word all.", expr
        )
        return []

    def _address(self, reader: BlockReader, name: str) -> Address | None:
        expr = reader.required(name)
        if expr is None:
            return None
        try:
            return parse_address("".join(expr.text.split()) if '"' not in expr.text else expr.text)
        except ValueError as problem:
            reader.report("Invalid address", f"{problem}.", expr)
            return None


def _attribute_path(expr: Expr) -> str | None:
    if isinstance(expr, Variable):
        return expr.name
    if isinstance(expr, Literal) and isinstance(expr.value, str):
        return expr.value
    if isinstance(expr, GetAttr | Index) and _attribute_path(expr.value) is not None:
        return expr.text
    return None


def _count(number: int) -> str:
    return "no label" if number == 0 else "one label" if number == 1 else f"{number} labels"


__all__ = ["RESERVED_NAMES", "Body", "Condition", "Decoder"]
