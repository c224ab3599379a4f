"""Decoder: the syntax trees of all files -> one Config, and all structural errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from dstream.config.blocks import (
    BackendBlock,
    Config,
    DstreamBlock,
    ImportBlock,
    MovedBlock,
    OutputBlock,
    ProviderBlock,
    RemovedBlock,
    RequiredProvider,
    ResourceBlock,
    TaskBlock,
    VariableBlock,
)
from dstream.config.decode import meta_arguments
from dstream.config.decode.block_reader import BlockReader, nearest
from dstream.config.decode.condition_blocks import check_block, policy_block
from dstream.config.decode.io_blocks import check_type, sides
from dstream.config.lookalikes import look
from dstream.config.syntax.parser import Parsed
from dstream.config.syntax.tree import Attribute, Block, Literal, ObjectExpr
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
"""Names that a local cannot have: roots of references, or keywords."""

_LABELS: dict[str, tuple[str, ...]] = {
    "dstream": (), "provider": ("NAME",), "variable": ("NAME",), "locals": (), "resource": ("TYPE", "NAME"),
    "task": ("NAME",), "output": ("NAME",), "moved": (), "import": (), "removed": (), "check": ("NAME",),
    "policy": ("NAME",),
}  # fmt: skip
_ELSEWHERE = {
    "terraform": " Use dstream { ... } instead: required_version, required_providers, backend.",
    "module": " dstream has no modules.",
    "data": " dstream has no data sources.",
    "config": " Settings belong in input, output and provider blocks.",
    "input": " It belongs in a task.",
    **dict.fromkeys(("backend", "encryption", "required_providers"), " It belongs in a dstream block."),
    "lifecycle": " It belongs in a resource or a task.",
    "timeouts": " It belongs in a resource or a task.",
}
"""Hints for blocks of Terraform, and for nested blocks at the top level."""
_META_ARGUMENTS = frozenset(("for_each", "count", "depends_on", "provider"))
_META_BLOCKS = frozenset(("lifecycle", "timeouts"))
"""Meta-arguments of a resource; all other arguments belong to its provider."""
_TYPE_ROOTS = frozenset(["local", "var", "each", "count", "self", "path", "dstream", "task", "output", "provider"])

_LONGEST_NAME = 200
"""Bytes of a name: that of a task is part of names of files, which have at most 255."""


class Decoder:
    """Adds the blocks of one file after another to a configuration."""

    def __init__(self, root: Path) -> None:
        """Start an empty configuration whose folder is `root`."""
        self.config = Config(root, {})
        self.diagnostics: list[Diagnostic] = []
        self._settings: DstreamBlock | None = None
        self._ranges: dict[tuple[str, ...], SourceRange] = {}
        self._looks: dict[tuple[str, ...], tuple[str, ...]] = {}

    def add(self, parsed: Parsed) -> None:
        """Add one file's blocks."""
        self.config.sources[parsed.source.filename] = parsed.source.text
        self.diagnostics.extend(parsed.diagnostics)
        for attribute in parsed.body.attributes.values():
            self.diagnostics.append(_outside(attribute))
        for block in parsed.body.blocks:
            self._block(block)

    def finish(self) -> Config:
        """Return the configuration."""
        return replace(self.config, settings=self._settings)

    def _block(self, block: Block) -> None:
        expected = _LABELS.get(block.type)
        if expected is None:
            hint = _ELSEWHERE.get(block.type) or nearest(block.type, _LABELS)
            detail = f'There is no block "{block.type}" at the top level.{hint} There are: {", ".join(_LABELS)}.'
            self.diagnostics.append(error("Unknown block", detail, block.header_range))
            return
        if len(block.labels) != len(expected):
            detail = (
                f"The syntax of a {block.type} block is {_header(block.type)} {{ ... }}; this one has "
                f"{_count(len(block.labels))}."
            )
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
                detail = f'"{text}" is not a valid name: a letter or _, then letters, digits, _ and -.'
                self.diagnostics.append(error("Invalid name", detail, node.range))
                fine = False
            elif len(text.encode()) > _LONGEST_NAME:
                detail = f"The name has {len(text.encode())} bytes in UTF-8; the limit is {_LONGEST_NAME}."
                self.diagnostics.append(error("Invalid name", detail, node.range))
                fine = False
        return fine

    def _declare(self, block: Block, *key: str) -> bool:
        """Return whether a name is new; report it otherwise."""
        first = self._ranges.get(key)
        if first is not None:
            shown = " ".join([key[0], *(f'"{part}"' for part in key[1:])])
            detail = f"{shown} is already declared at {first}. Rename one of them."
            self.diagnostics.append(error("Declared twice", detail, block.header_range))
            return False
        self._ranges[key] = block.header_range
        # Names of tasks become names of files, on some systems without case.
        alike = self._looks.setdefault(tuple(look(part, fold_case=key[0] == "task") for part in key), key)
        if alike != key:
            detail = (
                f'The {key[0]} "{key[-1]}" cannot be told from "{alike[-1]}", declared at {self._ranges[alike]}: their '
                f"letters look alike, or differ in case alone. In ASCII they are {key[-1]!a} and "
                f"{alike[-1]!a}. Rename one of them."
            )
            self.diagnostics.append(error("Names that look alike", detail, block.header_range))
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
        trust = tuple(reader.blocks("trust"))
        drift = reader.block_of("drift")
        reader.finish()
        found: BackendBlock | None = None
        if backend is not None:
            if len(backend.labels) == 1:
                found = BackendBlock(backend.labels[0], backend.body, backend.header_range)
            else:
                reader.report("Wrong number of labels", 'The syntax is backend "TYPE" { ... }.', backend)
        self._settings = DstreamBlock(
            version,
            self._required_providers(required) if required is not None else {},
            found,
            encryption.body if encryption is not None else None,
            block.header_range,
            trust,
            drift,
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
            detail = f'The syntax of a required provider is {name} = {{ source = "REGISTRY/NAME", version = "1.2.0" }}.'
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
        launch = meta_arguments.launch(reader)
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
                f"A locals block has arguments only. If {inner.type} is a value, write it with an equals "
                f"sign: {inner.type} = {{ ... }}."
            )
            self.diagnostics.append(error("Block in locals", detail, inner.header_range))
        for name, attribute in block.body.attributes.items():
            if name in RESERVED_NAMES:
                detail = (
                    f'"{name}" is a reserved name and cannot be the name of a local. '
                    f"Reserved names: {', '.join(sorted(RESERVED_NAMES))}."
                )
                self.diagnostics.append(error("Reserved name", detail, attribute.name_range))
            elif name in self.config.locals:
                first = self.config.locals[name].name_range
                if first.filename != attribute.name_range.filename:
                    detail = f"local.{name} is already set at {first}. Remove one of the two."
                    self.diagnostics.append(error("Local set twice", detail, attribute.name_range))
                else:
                    detail = f"local.{name} is already set on line {first.start.line}. Remove one of the two."
                    self.diagnostics.append(error("Local set twice", detail, attribute.name_range))
            else:
                self.config.locals[name] = attribute

    def _resource(self, block: Block) -> None:
        type_, name = block.labels
        if type_ in _TYPE_ROOTS:
            detail = f'"{type_}" cannot be a resource type: {type_}.{name} has another meaning in expressions.'
            self.diagnostics.append(error("Reserved name", detail, block.label_nodes[0].range))
            return
        if not self._declare(block, "resource", type_, name):
            return
        reader = BlockReader(f'resource "{type_}" "{name}"', block, self.diagnostics)
        for_each, count = meta_arguments.repetition(reader)
        self.config.resources[type_, name] = ResourceBlock(
            type_,
            name,
            block.body.without(_META_ARGUMENTS, _META_BLOCKS),
            for_each,
            count,
            reader.references("depends_on"),
            meta_arguments.provider_name(reader),
            meta_arguments.lifecycle(reader),
            block.header_range,
            meta_arguments.timeouts(reader),
        )

    def _task(self, block: Block) -> None:
        name = block.labels[0]
        if not self._declare(block, "task", name):
            return
        reader = BlockReader(f'task "{name}"', block, self.diagnostics)
        check_type(reader)
        for_each, count = meta_arguments.repetition(reader)
        inputs = sides(reader, "input")
        outputs = sides(reader, "output")
        depends_on = reader.references("depends_on")
        lifecycle = meta_arguments.lifecycle(reader)
        timeouts = meta_arguments.timeouts(reader)
        record_limit, max_dead_letters = reader.optional("record_limit"), reader.optional("max_dead_letters")
        reader.finish()
        for expected, found in (("input", inputs), ("output", outputs)):
            if not found and expected not in block.body.attributes:
                detail = f'task "{name}" needs an {expected} block, which says which provider the data '
                detail += "comes from." if expected == "input" else "goes to."
                self.diagnostics.append(
                    error("Missing input" if expected == "input" else "Missing output", detail, block.header_range)
                )
        if len(inputs) > 1:
            detail = f'task "{name}" has {len(inputs)} inputs, and takes only one. Define a task for each.'
            self.diagnostics.append(error("More than one input", detail, inputs[1].range))
        if not inputs or not outputs:
            return
        self.config.tasks[name] = TaskBlock(
            name,
            "providers",
            inputs[0],
            tuple(outputs),
            for_each,
            count,
            depends_on,
            lifecycle,
            block.header_range,
            timeouts=timeouts,
            record_limit=record_limit,
            max_dead_letters=max_dead_letters,
        )

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
        from_, to = meta_arguments.address(reader, "from"), meta_arguments.address(reader, "to")
        reader.finish()
        if from_ is not None and to is not None:
            self.config.moved.append(MovedBlock(from_, to, block.header_range))

    def _removed(self, block: Block) -> None:
        reader = BlockReader("the removed block", block, self.diagnostics)
        from_ = meta_arguments.address(reader, "from")
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
        if self._declare(block, "check", block.labels[0]):
            self.config.checks.append(check_block(block, self.diagnostics))

    def _policy(self, block: Block) -> None:
        if self._declare(block, "policy", block.labels[0]):
            self.config.policies.append(policy_block(block, self.diagnostics))


def _outside(attribute: Attribute) -> Diagnostic:
    """Return the error for an argument at the top level."""
    name = attribute.name
    if name in _LABELS:
        detail = f"{name} is a block, not an argument: remove the =. The syntax is {_header(name)} {{ ... }}."
        return error("Block expected", detail, attribute.name_range)
    detail = (
        f'"{name}" is not in a block.{nearest(name, _LABELS)} Only blocks are allowed at the top level: '
        f"{', '.join(_LABELS)}. Named values belong in locals {{ ... }}."
    )
    return error("Argument outside of a block", detail, attribute.name_range)


def _header(type_: str) -> str:
    """Return a block's type and labels as they are written."""
    return " ".join([type_, *(f'"{label}"' for label in _LABELS[type_])])


def _count(number: int) -> str:
    return "no label" if number == 0 else "one label" if number == 1 else f"{number} labels"
