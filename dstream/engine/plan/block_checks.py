"""Checks of `import`, `moved` and `removed` blocks against what the configuration declares."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.errors import moved_still_declared, no_import_target, removed_still_declared
from dstream.engine.refresh.moved_blocks import within


def check_import_blocks(
    context: PlanContext, desired: Collection[str], broken: Collection[str], waiting: Collection[str]
) -> Iterator[Diagnostic]:
    """Yield an error for each import to an undeclared address.

    `desired` has the addresses of desired objects, `broken` the blocks with errors, `waiting` the tasks whose objects
    are not known yet.
    """
    blocks = context.operation.needs
    for block in sorted(context.imports.blocks() - set(broken)):
        if block in blocks and block not in context.selection:
            continue
        try:
            named = context.imports.of(block)
        except DiagnosticsError as problem:
            yield from problem.diagnostics
            continue
        waits = any(within(task, block) for task in waiting)
        for each in named.values():
            if each.address not in desired and context.selection.has(each.address) and not waits:
                yield no_import_target(each.address, block in blocks, each.range)


def check_removed_blocks(context: PlanContext, desired: Collection[str]) -> Iterator[Diagnostic]:
    """Yield an error for each `removed` block about an object that is still declared."""
    for removed in context.config.removed:
        still = next((address for address in desired if within(address, str(removed.from_))), None)
        if still is not None:
            yield removed_still_declared(still, removed.range)


def check_moved_blocks(context: PlanContext, desired: Collection[str]) -> Iterator[Diagnostic]:
    """Yield an error for each `moved` block away from a block or an object that is still declared."""
    blocks = context.operation.needs
    for moved in context.config.moved:
        old, new = str(moved.from_), str(moved.to)
        # From `a` to `a[0]`, `a` is the one object without a key, else a block with all its instances.
        all_instances = "[" in old or "[" not in new
        still = all_instances and old in blocks
        if still or any(within(address, old) if all_instances else address == old for address in desired):
            yield moved_still_declared(old, moved.range)
