"""Replace triggers: whether a block, instance or attribute in `replace_triggered_by` changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from dstream.addresses import ResourceAddress
from dstream.config import Expr, Lifecycle, ResourceBlock
from dstream.config.syntax.tree import GetAttr, Index, Variable
from dstream.engine.refresh.moved_blocks import within
from dstream.engine.setup.block_graph import block_name
from dstream.lang import Reference, Scope, evaluate, references
from dstream.plan import Action, Change, Reason

Resources = Mapping[tuple[str, str], ResourceBlock]


def trigger_reason(
    lifecycle: Lifecycle,
    resources: Resources,
    changes: Mapping[str, Change],
    changed_blocks: Collection[str],
    scope: Scope,
) -> Reason:
    """Return the reason to replace an object, if a reference in its `replace_triggered_by` changes.

    `changed_blocks` are the blocks with an object that is created, updated or replaced. `scope` has the keys of the
    object's instance.
    """
    for expr in lifecycle.replace_triggered_by:
        for reference in _references(expr, scope):
            if block_name(reference) in changed_blocks and _triggers(reference, resources, changes):
                return Reason.TRIGGERED
    return Reason.NONE


def by_instance(lifecycle: Lifecycle) -> bool:
    """Return whether `replace_triggered_by` has a key that depends on the instance, such as `[each.key]`."""
    return any(_has_key_to_evaluate(expr) for expr in lifecycle.replace_triggered_by)


def _has_key_to_evaluate(expr: Expr) -> bool:
    while isinstance(expr, GetAttr | Index):
        if isinstance(expr, Index) and references(expr.key):
            return True
        expr = expr.value
    return False


def _references(expr: Expr, scope: Scope) -> Iterable[Reference]:
    """Return the references in an expression, with the keys that depend on the instance evaluated."""
    if not _has_key_to_evaluate(expr):
        return references(expr)
    path: list[str | int] = []
    here = expr
    while isinstance(here, GetAttr | Index):
        step = here.name if isinstance(here, GetAttr) else evaluate(here.key, scope)
        if not isinstance(step, str | int):
            return references(expr)
        path.insert(0, step)
        here = here.value
    return [Reference(here.name, tuple(path), expr.range)] if isinstance(here, Variable) else references(expr)


def _triggers(reference: Reference, resources: Resources, changes: Mapping[str, Change]) -> bool:
    declared = resources.get((reference.root, str(reference.path[0])))
    rest = reference.path[1:]
    if declared is None or not rest:
        return True
    prefix = str(ResourceAddress(declared.type, declared.name))
    if declared.for_each is not None or declared.count is not None:
        prefix, rest = str(ResourceAddress(declared.type, declared.name, rest[0])), rest[1:]
    changed = [
        change for address, change in changes.items() if within(address, prefix) and change.action is not Action.NO_OP
    ]
    if not rest:
        return bool(changed)
    name = str(rest[0])
    return any((change.before or {}).get(name) != (change.after or {}).get(name) for change in changed)
