"""Plan hash: one hash of what a plan does, equal for two plans that do the same to the same state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstream.plan.plan import Plan

VOLATILE = ("timestamp", "dstream_version", "diagnostics", "pending", "policies", "applyable")
"""Members of a plan's JSON that may differ between equivalent plans."""


def essence(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two plans, in their JSON form, must agree on.

    Consequences are of the moment at which they are found.
    """
    kept = {name: value for name, value in form.items() if name not in VOLATILE}
    kept["summary"] = {name: value for name, value in form["summary"].items() if name != "consequences"}
    for member in ("resource_changes", "task_changes"):
        kept[member] = [lasting(each) for each in form.get(member, ())]
    return kept


def lasting(change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a change without what is of the moment."""
    return {name: value for name, value in change.items() if name not in ("consequences", "unassessed")}


def plan_hash(plan: Plan) -> str:
    """Return `sha256:...` of the essence of a plan."""
    from hashlib import sha256

    from dstream_state.codec import to_text

    return f"sha256:{sha256(to_text(essence(plan.to_json()), sort=True).encode()).hexdigest()}"
