"""Legend: what the symbols of a plan mean."""

from __future__ import annotations

from dstream.cli.render.attributes import COLOURS
from dstream.cli.render.paint import Paint
from dstream.plan import Action, Plan

_MEANINGS = {
    Action.CREATE: "create",
    Action.UPDATE: "change in place",
    Action.REPLACE: "destroy, then create",
    Action.CREATE_THEN_DELETE: "create, then destroy",
    Action.DELETE: "destroy or remove",
    Action.FORGET: "no longer manage",
    Action.DEFERRED: "wait for values",
}


def legend(plan: Plan, paint: Paint) -> str:
    """Return the meaning of the symbols of a plan's objects, tasks and outputs on one line; empty if it uses none."""
    used = {each.action for each in plan.changes} | {each.action for each in plan.tasks}
    used |= {each.action for each in plan.outputs}
    shown = [action for action in _MEANINGS if action in used]
    return "   ".join(f"{paint(each.symbol, COLOURS[each.symbol])} {_MEANINGS[each]}" for each in shown)
