"""Condition blocks: decodes `check` and `policy`, which have nothing but conditions."""

from __future__ import annotations

from dstream.config.blocks import CheckBlock, Condition, PolicyBlock
from dstream.config.decode.block_reader import BlockReader
from dstream.config.syntax.tree import Block
from dstream.diagnostics import Diagnostic, error


def check_block(block: Block, diagnostics: list[Diagnostic]) -> CheckBlock:
    """Return a `check` block; add its errors to `diagnostics`."""
    reader = BlockReader(f'check "{block.labels[0]}"', block, diagnostics)
    asserts = reader.conditions("assert")
    reader.finish()
    if not asserts:
        diagnostics.append(error("Missing assert", _none(reader, "an assert"), block.header_range))
    return CheckBlock(block.labels[0], asserts, block.header_range)


def policy_block(block: Block, diagnostics: list[Diagnostic]) -> PolicyBlock:
    """Return a `policy` block; add its errors to `diagnostics`."""
    reader = BlockReader(f'policy "{block.labels[0]}"', block, diagnostics)
    requires: tuple[Condition, ...] = reader.conditions("require")
    enforcement, time_zone = reader.text("enforcement"), reader.text("time_zone")
    reader.finish()
    if enforcement not in (None, "mandatory", "advisory"):
        detail = f'enforcement is "mandatory" (default) or "advisory", not "{enforcement}".'
        diagnostics.append(error("Invalid enforcement", detail, block.body.attributes["enforcement"].range))
    if not requires:
        diagnostics.append(error("Missing require", _none(reader, "a require"), block.header_range))
    return PolicyBlock(block.labels[0], requires, enforcement == "advisory", time_zone, block.header_range)


def _none(reader: BlockReader, missing: str) -> str:
    return f"{reader.what} needs {missing} block with condition and error_message."
