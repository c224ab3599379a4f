"""I/O blocks: the input and the outputs of a task."""

from __future__ import annotations

from dstream.config.blocks import SideBlock
from dstream.config.decode.block_reader import BlockReader
from dstream.config.decode.meta_arguments import launch as launch_of
from dstream.config.syntax.tree import Literal
from dstream.diagnostics import error

_MIGRATION = "docs/migration.md"


def check_type(reader: BlockReader) -> None:
    """Report a task type other than the supported one."""
    expr = reader.optional("type")
    if expr is None or (isinstance(expr, Literal) and expr.value in ("", "providers")):
        return
    if isinstance(expr, Literal) and expr.value == "plugin":
        detail = (
            'Tasks of type "plugin" are from earlier versions. Write an input and an output block, each with '
            f"its provider, and omit the type; see {_MIGRATION}."
        )
        reader.report("Plugin tasks not supported", detail, expr)
        return
    reader.report("Invalid task type", 'The type of a task is "providers", and can be omitted.', expr)


def sides(task: BlockReader, role: str) -> list[SideBlock]:
    """Return the `input` or `output` blocks of a task."""
    found: list[SideBlock] = []
    blocks = task.blocks(role)
    labels: set[str | None] = set()
    for block in blocks:
        label = block.labels[0] if block.labels else None
        if len(block.labels) > (1 if role == "output" else 0):
            detail = f"An {role} block of a task takes {'one label at most' if role == 'output' else 'no label'}."
            task.diagnostics.append(error("Wrong number of labels", detail, block.header_range))
        if role == "output" and len(blocks) > 1 and (label is None or label in labels):
            detail = (
                "A task with several outputs tells them apart by labels, each used once: "
                'output "audit" { ... }, output "main" { ... }.'
            )
            task.diagnostics.append(error("Missing output label", detail, block.header_range))
        labels.add(label)
        what = f'the {role} "{label}" of {task.what}' if label else f"the {role} of {task.what}"
        reader = BlockReader(what, block, task.diagnostics)
        launch = launch_of(reader)
        if launch.kind is None:
            detail = (
                f"{what} has no provider. Set one of provider_path (a program), provider "
                "(a name), provider_ref or provider_image."
            )
            task.diagnostics.append(error("Missing provider", detail, block.header_range))
        config = reader.settings("config")
        reader.finish()
        found.append(SideBlock(label, launch, config, block.header_range))
    return found
