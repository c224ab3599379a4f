"""Replace triggers: whether a block, instance or attribute in `replace_triggered_by` changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dstream.addresses import ResourceAddress
from dstream.config import Lifecycle, ResourceBlock
from dstream.engine.refresh.moved_blocks import within
from dstream.engine.setup.block_graph import block_name
from dstream.lang import Reference, references
from dstream.plan import Action, Change, Reason

Resources = Mapping[tuple[str, str], ResourceBlock]


def trigger_reason(
    lifecycle: Lifecycle, resources: Resources, changes: Mapping[str, Change], changed_blocks: Collection[str]
) -> Reason:
    """Return the reason to replace an object, if a reference in its `replace_triggered_by` changes.

    `changed_blocks` are the blocks with a change of an existing object.
    """
    for expr in lifecycle.replace_triggered_by:
        for reference in references(expr):
            if block_name(reference) in changed_blocks and _triggers(reference, resources, changes):
                return Reason.TRIGGERED
    return Reason.NONE


def _triggers(reference: Reference, resources: Resources, changes: Mapping[str, Change]) -> bool:
    declared = resources.get((reference.root, str(reference.path[0])))
    rest = reference.path[1:]
    if declared is None or not rest:
        return True
    prefix = str(ResourceAddress(declared.type, declared.name))
    if declared.for_each is not None or declared.count is not None:
        prefix, rest = str(ResourceAddress(declared.type, declared.name, rest[0])), rest[1:]
    changed = [
        change
        for address, change in changes.items()
        if within(address, prefix) and change.action not in (Action.NO_OP, Action.CREATE)
    ]
    if not rest:
        return bool(changed)
    name = str(rest[0])
    return any((change.before or {}).get(name) != (change.after or {}).get(name) for change in changed)
